#include "core/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "core/error.h"

namespace mss::core {

FolderLock::FolderLock(const std::filesystem::path& folder, std::string_view work) : file_(folder / kFolderLockName) {
  while (true) {
    // Neither a link to elsewhere nor a FIFO of this name is followed or waited for.
    const int descriptor = ::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (descriptor < 0) throw Error(Code::io, file_.string(), std::string("cannot be made: ") + std::strerror(errno));
    int failed = 0;
    while (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      failed = errno;
      break;
    }
    if (failed == EWOULDBLOCK) {
      ::close(descriptor);
      throw Error({Code::config, folder.string(), "another process " + std::string(work), "", "", "wait for its end"});
    }
    // The holder before may have removed the file between open and lock: then this lock guards nothing.
    struct stat held {
    }, there{};
    if (::fstat(descriptor, &held) == 0 && ::lstat(file_.c_str(), &there) == 0 && held.st_ino == there.st_ino &&
        held.st_dev == there.st_dev) {
      descriptor_ = descriptor;
      return;
    }
    ::close(descriptor);
  }
}

FolderLock::~FolderLock() {
  ::unlink(file_.c_str());
  ::close(descriptor_);
}

}  // namespace mss::core
