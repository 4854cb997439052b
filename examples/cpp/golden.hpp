#pragma once

#include <cstddef>

#include "model.hpp"

struct GoldenResult {
  std::size_t images;
  double max_difference, tolerance;
};

// Runs the bundle's golden images, one by one, and compares their probabilities with those from where the bundle was
// made. Throws BundleError if one lies further away than the manifest tolerates, or is NaN.
GoldenResult check_golden(Model& model);
