// The NMF methods and their registration.
//
//   nmf    KL by default, one template frame. STFT 4096/1024, periodic Hann, centred with reflection.
//   nmfd   the same with 8 template frames; its preset `toolbox` is the students' configuration (docs/nmf.md).
//   nmfd-toolbox = nmfd@toolbox under its own name.
//
// What a separator yields follows from two parameters, and the protocol (docs/nmf.md#protocols) stands in its spec and
// in info().protocol:
//   dict=FILE          supervised, P0: the dictionary's targets, in its order. Streams in bounded memory (T = 1, no
//                      free components). info().spec says dict=LABEL#HASH8; find_dictionary() says what FILE may be.
//   protocol=none      blind (default without dict): the components themselves, targets component-01 … component-R.
//   start=FILE         template-informed, P1: the dictionary's templates are start values, component index decides the
//                      target.
//   protocol=P3        blind, R = number of targets; the injective assignment of components to the true stems with the
//                      largest total SDR. Oracle.
//   protocol=P4        blind, R components; each goes to the true stem with the largest mask-weighted energy in it.
//                      Oracle.
//   protocol=P5        supervised by a dictionary learned on the true stems themselves, R per stem: the model's upper
//                      bound. Oracle.
// Under P3 to P5 the targets are those that Options::references name, and info().needs_references and is_oracle are
// true.
//
// In a run a blind method must say its protocol, because the row's name carries it (MethodEntry::run_part): nmf without
// dict and protocol gets protocol=P4, nmfd and nmfd-toolbox protocol=P3.
//
// Stereo. The channels' magnitude spectrograms stand beside each other along time: templates are shared, activations
// and masks are per channel; convolutions do not cross from one channel into the next. mono=true
// averages the channels first and copies the estimate. Masks: generalised Wiener, mask_p = S_p^alpha / sum S^alpha with
// alpha 1 blind, 2 supervised; the stems sum to the mixture (P3 with more components than stems drops the rest). Seeds:
// start values are drawn from Context::seed; the supervised methods start from ones and need none.
#pragma once

#include "methods/registry.h"

namespace mss::methods::nmf {

void add_methods(methods::Registry& registry);

}  // namespace mss::methods::nmf
