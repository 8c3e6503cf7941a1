// The names that other programs give to a Band-split RNN's tensors, and what their shapes tell of the network.
//
//   amanteur   github.com/amanteur/BandSplitRNN-PyTorch at f3375dc: bandsplit.fcs.<k>.weight, …
//   magron     github.com/magronp/bsrnn at f2ecc62: BN.<k>.1.weight, separator.<l>.time_net.main_layer.*, maskers.<s>.…
//              (mask.<k>.… in files of before there were several maskers); also networks with one hidden layer per
//              mask, which its layout extends to (profile paper)
//
// Tensors that both programs save and inference does not need (windows of transforms) are passed over. A 1x1
// convolution's weight (N, I, 1) is a linear layer's (N, I). With both channels in every band ("naive" stereo) magron's
// gated rows are [values, gates] per channel, ours [values of both, gates of both].
//
// Options of theirs that are other networks (GRU or convolution for LSTM, one direction, heads that split the features,
// context of masks, transformer blocks) are Error(unsupported), naming tensor and option.
//
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "methods/bsrnn/configuration.h"
#include "nn/parameters.h"

namespace mss::methods::bsrnn {

using Shapes = std::map<std::string, nn::Shape, std::less<>>;

/// What a file says beside its tensors (hyper_parameters of a Lightning checkpoint), or its reader.
struct Hints {
  std::vector<std::string> targets{};  ///< empty: not said
  std::string target{};                ///< of a network with a single mask, where `targets` does not say it
  std::optional<int> rate_hz{}, fft_size{}, hop_samples{}, groups{};
  std::optional<double> eps{};
};

struct ForeignTensor {
  std::string name;                ///< theirs
  nn::Shape shape;                 ///< ours
  std::vector<std::int64_t> rows;  ///< row i of ours is row rows[i] of theirs; empty: as they are
};

struct ForeignNetwork {
  Configuration configuration;
  std::map<std::string, ForeignTensor> tensors;  ///< by our names; what has no name of ours under its own
  std::vector<std::string> ignored;              ///< no weights of the network
  std::vector<std::string> assumed;              ///< members of the configuration that nothing says
  /// Several names for one tensor: each must hold what `first` holds.
  std::vector<std::pair<std::string, std::string>> copies;  ///< (first, other), theirs
};

/// Where a network begins: the part of names before "bandsplit.fcs.0.weight" or "BN.0.1.weight", once per network.
std::vector<std::string> network_prefixes(const Shapes& shapes);

/// The network whose names begin with `prefix`; tensors of other beginnings are not looked at. Throws Error(checkpoint)
/// for shapes that no network of these layouts has and for a target that nothing says, Error(unsupported).
ForeignNetwork read_names(const Shapes& shapes, std::string_view prefix, const Hints& hints, std::string_view where);

/// The other way: their names and shapes of all tensors, in amanteur's layout for that profile, else in magron's.
/// Throws Error(unsupported) for a network that their layout cannot say.
std::map<std::string, ForeignTensor> write_names(const Configuration& configuration);

}  // namespace mss::methods::bsrnn
