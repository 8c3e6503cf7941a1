#include "training/cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <mutex>
#include <optional>
#include <span>
#include <utility>

#include "audio/file.h"
#include "audio/resample.h"
#include "audio/stream.h"
#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/parallel.h"
#include "training/stretch.h"

namespace mss::training {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "cache files are little endian");

constexpr std::string_view kMagic = "MSSCACH1";
constexpr std::int64_t kAlign = 64;
constexpr std::string_view kEnding = ".audio";

std::int64_t aligned(std::int64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

/// Is this a SHA-256 as core/hash.h writes it?
constexpr std::size_t kDigestDigits = 64;
bool is_digest(std::string_view text) {
  return text.size() == kDigestDigits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

[[noreturn]] void fail_io(const fs::path& path, const std::string& what) {
  throw Error(Code::io, path.string(), what + ": " + std::strerror(errno));
}

struct File {
  int descriptor = -1;
  explicit File(int fd) : descriptor(fd) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (descriptor >= 0) ::close(descriptor);
  }
};

void write_all(int fd, const void* data, std::size_t bytes, const fs::path& path) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t n = ::write(fd, at, bytes);
    if (n < 0) {
      if (errno == EINTR) continue;
      fail_io(path, "cannot write the training cache");
    }
    at += n;
    bytes -= static_cast<std::size_t>(n);
  }
}

bool is_16_bit(std::span<const float> samples) {
  for (const float x : samples) {
    const float scaled = x * 32768.0F;
    if (!(scaled >= -32768.0F && scaled <= 32767.0F) || scaled != std::rint(scaled)) return false;
  }
  return true;
}

/// What a file of the cache is made from.
struct Content {
  audio::AudioBuffer mixture;              ///< as the track has it: for figures; empty = the sum of the stems
  std::vector<audio::AudioBuffer> planes;  ///< stems, then the mixture where it is kept
  std::vector<double> levels_db;
  double mean = 0, std = 0;
};

/// To the model's channels and rate.
audio::AudioBuffer brought_to(audio::AudioView audio, int rate_hz, int channels) {
  audio::AudioBuffer out =
      audio.channels() == channels ? audio::AudioBuffer(audio) : audio::convert_channels(audio, channels);
  return out.rate_hz() == rate_hz ? std::move(out) : audio::resample(out, rate_hz);
}

/// Mean and unbiased standard deviation of the mean of the channels.
void mono_moments(audio::AudioView audio, double& mean, double& deviation) {
  const std::int64_t n = audio.samples();
  double sum = 0, squares = 0;
  const auto mono = [&](std::int64_t t) {
    double value = 0;
    for (int c = 0; c < audio.channels(); ++c) value += audio.channel(c)[static_cast<std::size_t>(t)];
    return value / audio.channels();
  };
  for (std::int64_t t = 0; t < n; ++t) sum += mono(t);
  mean = n > 0 ? sum / static_cast<double>(n) : 0;
  for (std::int64_t t = 0; t < n; ++t) squares += (mono(t) - mean) * (mono(t) - mean);
  deviation = n > 1 ? std::sqrt(squares / static_cast<double>(n - 1)) : 0;
}

void write_cache_file(const fs::path& path, const Content& content, const std::vector<std::string>& stems, bool mixture,
                      const std::string& fingerprint) {
  const audio::AudioBuffer& first = content.planes.front();
  bool short_samples = true;
  for (const audio::AudioBuffer& plane : content.planes) {
    for (int c = 0; c < plane.channels() && short_samples; ++c) short_samples = is_16_bit(plane.channel(c));
  }
  const std::int64_t width = short_samples ? 2 : 4;
  const std::int64_t stride = aligned(first.samples() * width);
  core::Value header = core::Value::object();
  header["fingerprint"] = fingerprint;
  header["rate_hz"] = first.rate_hz();
  header["channels"] = first.channels();
  header["samples"] = first.samples();
  core::Value names = core::Value::array();
  for (const std::string& stem : stems) names.push_back(stem);
  header["stems"] = names;
  header["mixture"] = mixture;
  header["type"] = short_samples ? "i16" : "f32";
  header["mixture_mean"] = content.mean;
  header["mixture_std"] = content.std;
  core::Value levels = core::Value::array();
  for (const double level : content.levels_db) levels.push_back(level);
  header["levels_db"] = levels;
  header["plane_bytes"] = stride;
  const std::string text = core::dump_json(header);
  const std::int64_t start = aligned(static_cast<std::int64_t>(kMagic.size() + sizeof(std::uint64_t) + text.size()));

  core::AtomicFile file(path);
  const auto length = static_cast<std::uint64_t>(text.size());
  std::string head(kMagic);
  head.append(reinterpret_cast<const char*>(&length), sizeof length);
  head += text;
  head.resize(static_cast<std::size_t>(start), ' ');
  write_all(file.descriptor(), head.data(), head.size(), path);
  std::vector<char> block(static_cast<std::size_t>(stride));
  for (const audio::AudioBuffer& plane : content.planes) {
    for (int c = 0; c < plane.channels(); ++c) {
      core::check_stop();
      std::fill(block.begin(), block.end(), '\0');
      const std::span<const float> samples = plane.channel(c);
      if (short_samples) {
        std::vector<std::int16_t> words(samples.size());
        for (std::size_t i = 0; i < samples.size(); ++i) words[i] = static_cast<std::int16_t>(samples[i] * 32768.0F);
        if (!words.empty()) std::memcpy(block.data(), words.data(), words.size() * sizeof(std::int16_t));
      } else if (!samples.empty()) {
        std::memcpy(block.data(), samples.data(), samples.size() * sizeof(float));
      }
      write_all(file.descriptor(), block.data(), block.size(), path);
    }
  }
  file.commit();
}

}  // namespace

namespace {

/// Open files of this process that hold a lock on a file of a cache.
std::atomic<std::int64_t> locked_files{0};

/// At most half of the descriptors that the process may have: a corpus of speech has thousands of files.
std::int64_t most_locked_files() {
  constexpr std::int64_t kUsual = 1024;
  rlimit limit{};
  const bool known = ::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
  return (known ? static_cast<std::int64_t>(limit.rlim_cur) : kUsual) / 2;
}

}  // namespace

struct CachedTrack::Data {
  std::string name, fingerprint;
  std::vector<std::string> stems;
  int channels = 0, rate_hz = 0;
  std::int64_t samples = 0, plane_bytes = 0, file_bytes = 0;
  bool mixture = false, short_samples = false;
  double mean = 0, std = 0;
  std::vector<double> levels_db;
  const char* planes = nullptr;
  void* map = MAP_FAILED;
  int descriptor = -1;

  Data() = default;
  Data(const Data&) = delete;
  Data& operator=(const Data&) = delete;
  ~Data() {
    if (map != MAP_FAILED) ::munmap(map, static_cast<std::size_t>(file_bytes));
    if (descriptor < 0) return;
    ::close(descriptor);
    if (counted) --locked_files;
  }
  bool counted = false;  ///< among locked_files
};

namespace {

/// The file mapped, with a shared lock on it; nothing where it is absent or damaged.
std::shared_ptr<CachedTrack::Data> map_file(const fs::path& path) {
  auto data = std::make_shared<CachedTrack::Data>();
  // A FIFO of this name must not be waited for.
  data->descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (data->descriptor < 0) {
    if (errno == ENOENT) return nullptr;
    fail_io(path, "cannot open");
  }
  struct stat facts {};
  if (::fstat(data->descriptor, &facts) != 0) fail_io(path, "cannot read");
  if (!S_ISREG(facts.st_mode)) {
    throw Error({Code::io, path.string(), "no file of the training cache", "a regular file", "a folder or special file",
                 "remove it, or give another data.cache"});
  }
  // Where the file system has no locks, files in use may be removed from the folder; the mapping stays whole.
  while (::flock(data->descriptor, LOCK_SH) != 0 && errno == EINTR) {
  }
  data->file_bytes = facts.st_size;
  constexpr std::int64_t kShortest = 16;
  if (data->file_bytes < kShortest) return nullptr;
  data->map = ::mmap(nullptr, static_cast<std::size_t>(data->file_bytes), PROT_READ, MAP_SHARED, data->descriptor, 0);
  if (data->map == MAP_FAILED) fail_io(path, "cannot map");
  const char* bytes = static_cast<const char*>(data->map);
  std::uint64_t length = 0;
  std::memcpy(&length, bytes + kMagic.size(), sizeof length);
  if (std::string_view(bytes, kMagic.size()) != kMagic ||
      length > static_cast<std::uint64_t>(data->file_bytes - kShortest)) {
    return nullptr;
  }
  std::int64_t rate_hz = 0, channels = 0;
  try {
    const core::Value header =
        core::parse_json(std::string_view(bytes + kShortest, static_cast<std::size_t>(length)), path.string());
    data->fingerprint = header.at("fingerprint").as_string();
    rate_hz = header.at("rate_hz").as_integer();
    channels = header.at("channels").as_integer();
    data->samples = header.at("samples").as_integer();
    for (const core::Value& stem : header.at("stems").as_array()) data->stems.push_back(stem.as_string());
    data->mixture = header.at("mixture").as_bool();
    const std::string type = header.at("type").as_string();
    if (type != "i16" && type != "f32") return nullptr;
    data->short_samples = type == "i16";
    data->mean = header.at("mixture_mean").as_real();
    data->std = header.at("mixture_std").as_real();
    for (const core::Value& level : header.at("levels_db").as_array()) data->levels_db.push_back(level.as_real());
    data->plane_bytes = header.at("plane_bytes").as_integer();
  } catch (const Error&) {
    return nullptr;
  }
  // Every number is bounded by the length of the file before it is multiplied: the planes lie inside the mapping.
  const std::int64_t start = aligned(kShortest + static_cast<std::int64_t>(length));
  const std::int64_t width = data->short_samples ? 2 : 4, room = data->file_bytes;
  if (rate_hz < 1 || rate_hz > std::numeric_limits<int>::max() || channels < 1 || channels > room ||
      channels > std::numeric_limits<int>::max() || (data->stems.empty() && !data->mixture) || data->samples < 1 ||
      data->samples > room / width || data->plane_bytes != aligned(data->samples * width)) {
    return nullptr;
  }
  const auto per_channel = static_cast<std::int64_t>(data->stems.size()) + (data->mixture ? 1 : 0);
  if (start > room || per_channel > room / channels || per_channel * channels > room / data->plane_bytes ||
      start + per_channel * channels * data->plane_bytes != room) {
    return nullptr;
  }
  data->rate_hz = static_cast<int>(rate_hz);
  data->channels = static_cast<int>(channels);
  data->planes = bytes + start;
  // Last used: now. A file of another user's cache cannot be touched; then its age stays.
  if (::futimens(data->descriptor, nullptr) != 0) errno = 0;
  if (++locked_files <= most_locked_files()) {
    data->counted = true;
  } else {
    // The mapping stays whole without its lock, also where the file is removed from the folder.
    --locked_files;
    ::close(data->descriptor);
    data->descriptor = -1;
  }
  return data;
}

}  // namespace

const std::string& CachedTrack::name() const noexcept { return data_->name; }
const std::string& CachedTrack::fingerprint() const noexcept { return data_->fingerprint; }
const std::vector<std::string>& CachedTrack::stems() const noexcept { return data_->stems; }
int CachedTrack::channels() const noexcept { return data_->channels; }
int CachedTrack::rate_hz() const noexcept { return data_->rate_hz; }
std::int64_t CachedTrack::samples() const noexcept { return data_->samples; }
bool CachedTrack::has_mixture() const noexcept { return data_->mixture; }
double CachedTrack::mixture_mean() const noexcept { return data_->mean; }
double CachedTrack::mixture_std() const noexcept { return data_->std; }
const std::vector<double>& CachedTrack::levels_db() const noexcept { return data_->levels_db; }

void CachedTrack::read(int stem, int channel, std::int64_t begin, std::int64_t count, float* out, float factor) const {
  const Data& d = *data_;
  const int plane = stem < 0 ? static_cast<int>(d.stems.size()) : stem;
  MSS_ASSERT(channel >= 0 && channel < d.channels && count >= 0 &&
             (stem < 0 ? d.mixture : stem < static_cast<int>(d.stems.size())));
  const char* base = d.planes + (static_cast<std::int64_t>(plane) * d.channels + channel) * d.plane_bytes;
  const std::int64_t front = std::clamp<std::int64_t>(-begin, 0, count);
  const std::int64_t end = std::clamp<std::int64_t>(d.samples - begin, front, count);
  std::fill(out, out + front, 0.0F);
  if (d.short_samples) {
    const auto* words = reinterpret_cast<const std::int16_t*>(base) + (begin + front);
    float* to = out + front;
    // A power of two goes into the factor without another rounding.
    const float scale = factor * (1.0F / 32768.0F);
    for (std::int64_t i = 0; i < end - front; ++i) to[i] = static_cast<float>(words[i]) * scale;
  } else {
    const float* x = reinterpret_cast<const float*>(base) + (begin + front);
    float* to = out + front;
    for (std::int64_t i = 0; i < end - front; ++i) to[i] = x[i] * factor;
  }
  std::fill(out + end, out + count, 0.0F);
}

void CachedTrack::prefetch(int stem, int channel, std::int64_t begin, std::int64_t count) const noexcept {
  const Data& d = *data_;
  const std::int64_t width = d.short_samples ? 2 : 4;
  const std::int64_t first = std::clamp<std::int64_t>(begin, 0, d.samples);
  const std::int64_t last = std::clamp<std::int64_t>(begin + count, first, d.samples);
  const int plane = stem < 0 ? static_cast<int>(d.stems.size()) : stem;
  const char* base = d.planes + (static_cast<std::int64_t>(plane) * d.channels + channel) * d.plane_bytes;
  constexpr std::int64_t kLine = 64;
  for (std::int64_t at = first * width; at < last * width; at += kLine) __builtin_prefetch(base + at);
}

audio::AudioBuffer CachedTrack::whole(int stem) const {
  audio::AudioBuffer out(channels(), samples(), rate_hz());
  for (int c = 0; c < channels(); ++c) read(stem, c, 0, samples(), out.channel(c).data());
  return out;
}

fs::path cache_folder() {
  const auto variable = [](const char* name) -> std::optional<fs::path> {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') return std::nullopt;
    return fs::path(value);
  };
  if (const auto folder = variable("MSSBENCH_CACHE")) return *folder / "training";
  if (const auto folder = variable("XDG_CACHE_HOME")) return *folder / "mssbench" / "training";
  if (const auto folder = variable("HOME")) return *folder / ".cache" / "mssbench" / "training";
  throw Error(
      {Code::config, "training cache", "no folder for it", "data.cache, MSSBENCH_CACHE or HOME", "none of them", ""});
}

struct Cache::State {
  fs::path folder;
  std::int64_t limit = 0;
  mutable std::mutex mutex;
  std::int64_t pending = 0;  ///< bytes of files that are being written
  CacheUse use;

  fs::path path_of(const std::string& key) const { return folder / (key + std::string(kEnding)); }

  /// The fingerprint of a track; that of files is remembered by their names, sizes and times, because reading a whole
  /// data set takes minutes.
  std::string fingerprint(const std::vector<fs::path>& files, const std::function<std::string()>& compute) const {
    if (files.empty()) return compute();
    std::string stamp;
    for (const fs::path& file : files) {
      struct stat facts {};
      if (::stat(file.c_str(), &facts) != 0) return compute();  // its error is the better one
      stamp += fs::absolute(file).lexically_normal().string() + "\n" + std::to_string(facts.st_size) + " " +
               std::to_string(facts.st_mtim.tv_sec) + "." + std::to_string(facts.st_mtim.tv_nsec) + " " +
               std::to_string(facts.st_ctim.tv_sec) + "." + std::to_string(facts.st_ctim.tv_nsec) + "\n";
    }
    const fs::path remembered = folder / "fingerprints" / core::sha256_hex(stamp);
    std::error_code error;
    if (fs::is_regular_file(remembered, error) && fs::file_size(remembered, error) == kDigestDigits) {
      const std::string text = core::read_text_file(remembered);
      if (is_digest(text)) return text;
    }
    const std::string value = compute();
    core::write_file_atomic(remembered, value);
    return value;
  }

  /// Is this a name that path_of() gives? A recipe may name any folder as its cache: files of other people in it are
  /// neither counted nor removed.
  static bool is_cache_name(const fs::path& path) {
    return path.extension() == kEnding && is_digest(path.stem().string());
  }

  /// Makes room for `bytes` more.
  void make_room(std::int64_t bytes) {
    struct Old {
      fs::path path;
      timespec used;
      std::int64_t bytes;
    };
    std::vector<Old> files;
    std::int64_t total = pending;
    for (const fs::path& path : core::list_directory(folder)) {
      struct stat facts {};
      if (!is_cache_name(path) || ::lstat(path.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode)) continue;
      files.push_back({path, facts.st_mtim, facts.st_size});
      total += facts.st_size;
    }
    std::sort(files.begin(), files.end(), [](const Old& a, const Old& b) {
      return std::pair(a.used.tv_sec, a.used.tv_nsec) < std::pair(b.used.tv_sec, b.used.tv_nsec);
    });
    for (const Old& old : files) {
      if (total + bytes <= limit) break;
      const File file(::open(old.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
      if (file.descriptor < 0 || ::flock(file.descriptor, LOCK_EX | LOCK_NB) != 0) continue;  // gone, or in use
      if (::unlink(old.path.c_str()) != 0) continue;
      total -= old.bytes;
      ++use.removed;
    }
    if (total + bytes <= limit) return;
    const auto gib = [](std::int64_t n) {
      return core::format_real(std::ceil(static_cast<double>(n) / 1e6) / 1e3) + " GB";
    };
    throw Error({Code::resource, folder.string(), "the training cache is full", "at most " + gib(limit),
                 gib(total) + " in use and " + gib(bytes) + " more needed",
                 "raise data.cache_gib, or train on fewer tracks"});
  }

  /// The file of `key` where it is whole and what `format` asks for.
  std::shared_ptr<CachedTrack::Data> find(const std::string& key, const CacheFormat& format) const {
    std::shared_ptr<CachedTrack::Data> data = map_file(path_of(key));
    const bool fits = data && data->stems == format.stems && data->rate_hz == format.rate_hz &&
                      data->channels == format.channels && data->mixture == format.mixture;
    return fits ? data : nullptr;
  }

  CachedTrack get(const std::string& key, const std::string& name, const CacheFormat& format,
                  std::int64_t expected_bytes, const std::function<void(const fs::path&)>& make) {
    const fs::path path = path_of(key);
    std::shared_ptr<CachedTrack::Data> data = find(key, format);
    if (!data) {
      {
        const std::scoped_lock lock(mutex);
        make_room(expected_bytes);
        pending += expected_bytes;
      }
      struct Release {
        State* state;
        std::int64_t bytes;
        ~Release() {
          const std::scoped_lock lock(state->mutex);
          state->pending -= bytes;
        }
      } release{this, expected_bytes};
      make(path);
      data = find(key, format);
      if (!data)
        throw Error(Code::io, path.string(), "a file of the training cache vanished or changed while it was made");
      const std::scoped_lock lock(mutex);
      ++use.made;
    } else {
      const std::scoped_lock lock(mutex);
      ++use.found;
    }
    {
      const std::scoped_lock lock(mutex);
      use.bytes += data->file_bytes;
    }
    data->name = name;
    return CachedTrack(std::move(data));
  }
};

Cache::Cache(fs::path folder, std::int64_t limit_bytes) : state_(std::make_shared<State>()) {
  if (limit_bytes < 1) throw Error(Code::invalid_argument, "training cache", "its limit must be at least one byte");
  state_->folder = std::move(folder);
  state_->limit = limit_bytes;
  core::make_directories(state_->folder / "fingerprints");
  core::remove_dead_temporaries(state_->folder);
}

const fs::path& Cache::folder() const noexcept { return state_->folder; }

CacheUse Cache::use() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->use;
}

CachedTrack Cache::open(const datasets::Dataset& dataset, const datasets::Track& track, const CacheFormat& format) {
  if (format.stems.empty() && !format.mixture) {
    throw Error(Code::invalid_argument, "training cache", "neither stems nor the mixture are asked for");
  }
  if (track.defect) throw Error(*track.defect);
  const std::string fingerprint = state_->fingerprint(track.files, [&] { return dataset.sha256(track); });
  std::string what = "mssbench training cache 1\n" + fingerprint + "\n" + std::to_string(format.rate_hz) + "\n" +
                     std::to_string(format.channels) + "\n" + (format.mixture ? "mixture" : "") + "\n" +
                     (format.copy.empty() ? "" : format.copy + "\n" + format.copy_speech_stem) + "\n";
  for (const std::string& stem : format.stems) what += stem + "\n";
  const std::string key = core::sha256_hex(what);
  // As headers say; a factor of two for float32 is the worst case.
  const double ratio = track.rate_hz > 0 ? static_cast<double>(format.rate_hz) / track.rate_hz : 1.0;
  const auto planes = static_cast<std::int64_t>(format.stems.size()) + (format.mixture ? 1 : 0);
  const auto expected =
      static_cast<std::int64_t>(static_cast<double>(track.samples) * ratio) * planes * format.channels * 2;
  const std::string name = format.copy.empty() ? track.name : track.name + " [" + format.copy + "]";
  return state_->get(key, name, format, expected, [&](const fs::path& path) {
    datasets::TrackAudio audio;
    if (format.stems.empty()) {
      audio.mixture = dataset.load_mixture(track);  // which may be all that is right about the track
    } else {
      audio = dataset.load(track);
    }
    Content content;
    content.levels_db = datasets::levels_db(audio.mixture);
    audio::AudioBuffer mixture = brought_to(audio.mixture, format.rate_hz, format.channels);
    mono_moments(mixture, content.mean, content.std);
    for (const std::string& stem : format.stems) {
      const audio::AudioBuffer whole = datasets::Dataset::target(audio, stem);
      content.planes.push_back(brought_to(whole, format.rate_hz, format.channels));
    }
    if (format.mixture) content.planes.push_back(std::move(mixture));
    if (!format.copy.empty()) {
      for (std::size_t i = 0; i < content.planes.size(); ++i) {
        const bool speech = i < format.stems.size() && format.stems[i] == format.copy_speech_stem;
        content.planes[i] = static_copy(content.planes[i], format.copy, speech);
      }
    }
    write_cache_file(path, content, format.stems, format.mixture, fingerprint);
  });
}

CachedTrack Cache::open_file(const fs::path& file, const std::string& stem, int rate_hz, int channels) {
  const std::string fingerprint = state_->fingerprint({file}, [&] { return core::sha256_file(file); });
  const std::string key =
      core::sha256_hex("mssbench training cache 1, one file\n" + fingerprint + "\n" + std::to_string(rate_hz) + "\n" +
                       std::to_string(channels) + "\n" + stem + "\n");
  const audio::FileInfo info = audio::probe(file);
  const double ratio = info.rate_hz > 0 ? static_cast<double>(rate_hz) / info.rate_hz : 1.0;
  const auto expected = static_cast<std::int64_t>(static_cast<double>(info.samples.value_or(0)) * ratio) * channels * 2;
  // Songs that lie in a folder each are called by their folders.
  const std::string name = (file.stem() == "mixture" ? file.parent_path() : file).filename().string();
  const CacheFormat format{.rate_hz = rate_hz, .channels = channels, .stems = {stem}};
  return state_->get(key, name, format, expected, [&](const fs::path& path) {
    const audio::AudioBuffer audio = audio::read_file(file);
    if (audio.samples() == 0) throw Error({Code::format, file.string(), "no samples", "audio", "0 samples", ""});
    if (const audio::SamplePosition bad = audio::find_non_finite(audio); bad.channel >= 0) {
      throw Error(
          {Code::numeric, file.string(), "a sample is not finite", "numbers",
           "NaN or infinity in channel " + std::to_string(bad.channel) + ", sample " + std::to_string(bad.sample), ""});
    }
    Content content;
    content.levels_db = datasets::levels_db(audio);
    content.planes.push_back(brought_to(audio, rate_hz, channels));
    mono_moments(content.planes.front(), content.mean, content.std);
    write_cache_file(path, content, {stem}, false, fingerprint);
  });
}

std::vector<CachedTrack> Cache::open(const datasets::Dataset& dataset, const std::vector<datasets::Track>& tracks,
                                     const CacheFormat& format, int threads, core::Progress& progress) {
  std::vector<std::optional<CachedTrack>> found(tracks.size());
  std::mutex mutex;
  std::int64_t done = 0;
  progress.begin("training cache", static_cast<std::int64_t>(tracks.size()));
  try {
    core::parallel_for(static_cast<std::int64_t>(tracks.size()), threads, [&](std::int64_t i) {
      const datasets::Track& track = tracks[static_cast<std::size_t>(i)];
      try {
        found[static_cast<std::size_t>(i)] = open(dataset, track, format);
      } catch (const Error& error) {
        const bool named = error.parts().where.find(track.name) != std::string::npos;
        throw named ? error : error.with_context("track '" + track.name + "'");
      }
      const std::scoped_lock lock(mutex);
      progress.update(++done, "track '" + track.name + "'");
    });
  } catch (...) {
    progress.end();
    throw;
  }
  progress.end();
  std::vector<CachedTrack> out;
  for (std::optional<CachedTrack>& track : found) out.push_back(std::move(*track));
  return out;
}

}  // namespace mss::training
