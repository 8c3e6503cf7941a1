// Bootstrap distributions of a mean or a median over tracks, and what is read off them: intervals and p-values.
//
// The items that are resampled are tracks. Draw b of a sample of n tracks is a function of (seed, n, b) alone, so that
// everything that is computed from equal tracks is resampled alike, in any order and on any number of threads.
//
// Interval: BCa (Efron 1987; Efron and Tibshirani 1993, 14.3): percentiles of the resampled statistic at
// Phi(z0 + (z0 + z) / (1 - a (z0 + z))), z0 from the share of draws below the estimate (ties count half), a from the
// jackknife; percentiles interpolate linearly. With `expanded`, z is not the normal quantile q of the level but
// sqrt(n / (n - 1)) t, t the quantile of Student's t with n - 1 degrees of freedom (Hesterberg, "What teachers should
// know about the bootstrap", The American Statistician 69, 2015, 4.5: the bootstrap's percentiles are too narrow by
// this factor in small samples). A sample without spread gives [x, x].
//
// p-value: twice the smaller level at which an end of the one-sided interval meets the value tested, so that
// p < 0.05 just where the 95 % interval leaves the value out (up to interpolation). Where the value lies beyond
// (nearly) all draws, which then say only "small", the t-test of the sample takes over.
//
// Undefined values (NaN) are left out. Infinite values have no interval: NaN. Thread-safety: pure functions; a
// Resamples is constant once made. Errors: Error(invalid_argument) for fewer than two tracks, fewer than 100 draws, a
// level outside (0, 1).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace mss::eval {

struct Interval {
  double low = 0, high = 0;
};

enum class Statistic { mean, median };

struct BootstrapOptions {
  std::uint64_t seed = 0;
  int draws = 10000;
  double level = 0.95;
  bool expanded = false;  ///< percentiles as wide as Student's t asks for
};

/// Which tracks every draw picks: draws x n indices below n.
class Resamples {
 public:
  Resamples(int n, const BootstrapOptions& options);
  int size() const noexcept { return n_; }
  int draws() const noexcept { return draws_; }
  /// n indices of draw b.
  const std::uint32_t* operator[](int b) const noexcept {
    return picks_.data() + static_cast<std::size_t>(b) * static_cast<std::size_t>(n_);
  }

 private:
  int n_, draws_;
  std::vector<std::uint32_t> picks_;
};

/// The same, made once and kept for the sizes asked for last (a few megabytes). Thread-safe.
std::shared_ptr<const Resamples> shared_resamples(int n, const BootstrapOptions& options);

/// The resampled values of one statistic of one sample.
class Bootstrap {
 public:
  /// `draws` in any order, `jackknife` one value per track left out.
  Bootstrap(std::vector<double> draws, double estimate, const std::vector<double>& jackknife,
            const BootstrapOptions& options);

  double estimate() const noexcept { return estimate_; }
  Interval interval(double level) const;
  Interval interval() const { return interval(options_.level); }
  /// Two-sided p-value of "the true value is `value`", from the interval alone (at least 1 / draws).
  double p_two_sided(double value = 0) const;
  double standard_error() const;  ///< standard deviation of the draws
  /// Is `value` so far out that fewer than 5 draws (of those beyond it) stand behind p_two_sided?
  bool beyond_draws(double value = 0) const;

 private:
  double quantile(double share) const;  ///< of the normal distribution, or the expanded one
  double cdf(double z) const;

  std::vector<double> draws_;  ///< sorted
  double estimate_ = 0, bias_ = 0, acceleration_ = 0;
  double tracks_ = 0;
  BootstrapOptions options_;
};

/// Mean or median of a sample of finite values, resampled; `resamples` must be made for its size.
Bootstrap bootstrap(const std::vector<double>& sample, Statistic statistic, const Resamples& resamples,
                    const BootstrapOptions& options = {});
Bootstrap bootstrap(const std::vector<double>& sample, Statistic statistic, const BootstrapOptions& options = {});

/// Interval of the equally weighted average over groups (targets) of the groups' means or medians over tracks;
/// [group][track], NaN = missing there. Tracks are resampled as wholes, so that what the groups have in common stays
/// together. Draws in which a group is left without a value do not count. {NaN, NaN} where there are fewer than two
/// tracks, a group without values, or an infinite value.
Interval interval_of_average(const std::vector<std::vector<double>>& groups, Statistic statistic,
                             const BootstrapOptions& options = {});

/// BCa interval of any statistic of one sample.
Interval bca_interval(const std::vector<double>& sample,
                      const std::function<double(const std::vector<double>&)>& statistic,
                      const BootstrapOptions& options = {});
/// The same for the mean, with sums instead of copies.
Interval bca_interval_of_mean(const std::vector<double>& sample, const BootstrapOptions& options = {});

double mean_of(const std::vector<double>& values);    ///< of finite or infinite values; NaN for none
double median_of(const std::vector<double>& values);  ///< even counts average the two middle values; NaN for none
double estimate_of(const std::vector<double>& values, Statistic statistic);

}  // namespace mss::eval
