#include "golden.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "error.hpp"
#include "npz.hpp"

namespace {

// The array `name`, which must hold `count` numbers of `dtype` for each image.
Array take(const Bundle& bundle, const std::string& name, const std::string& dtype, std::size_t number_bytes,
           std::size_t count) {
  auto array = read_npz(bundle.golden, name);
  const std::size_t images = array.shape.empty() ? 0 : array.shape.front();
  if (array.dtype != dtype || images == 0 || array.data.size() % images != 0 ||
      array.data.size() / images != count * number_bytes)
    throw BundleError("golden images: " + name + ": expected " + std::to_string(count) + " numbers of " + dtype +
                      " for each image, got another array. Export the bundle again.");
  return array;
}

}  // namespace

GoldenResult check_golden(Model& model) {
  const auto& bundle = model.bundle();
  const auto& input = bundle.input;
  const std::size_t size = input.height * input.width * input.channels, classes = bundle.labels.size();
  const auto images = take(bundle, "images", "|u1", 1, size);
  const auto stored =
      take(bundle, "probabilities/onnxruntime/" + bundle.precision, "<f4", sizeof(float), classes);
  const std::size_t count = images.shape.front();
  if (stored.shape.front() != count)
    throw BundleError("golden images: expected probabilities of each, got other numbers of them.");

  double max_difference = 0;
  for (std::size_t index = 0; index < count; ++index) {
    const auto first = images.data.begin() + static_cast<std::ptrdiff_t>(index * size);
    const auto answer = model.predict({first, first + static_cast<std::ptrdiff_t>(size)});
    std::vector<float> expected(classes);
    std::memcpy(expected.data(), stored.data.data() + index * classes * sizeof(float), classes * sizeof(float));
    for (std::size_t i = 0; i < classes; ++i) {
      const double difference = std::abs(double{answer.probabilities[i]} - double{expected[i]});
      // Not std::max, which would pass over a NaN that was stored.
      if (!(difference <= max_difference)) max_difference = difference;
      if (std::isnan(max_difference)) break;
    }
    if (!(max_difference <= bundle.tolerance))
      throw BundleError(bundle.name + " " + bundle.precision + ": expected the golden probabilities to within " +
                        std::to_string(bundle.tolerance) + ", got a difference of " + std::to_string(max_difference) +
                        " on ONNX Runtime " + Ort::GetVersionString() + ". Take another artefact here.");
  }
  return {count, max_difference, bundle.tolerance};
}
