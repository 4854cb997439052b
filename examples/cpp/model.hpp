#pragma once

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bundle.hpp"

// The answer on one axis: `concept_name` is empty if the axis most likely does not speak of the image, and the score is
// then the probability of the classes on which it is silent.
struct ConceptAnswer {
  std::string axis, concept_name;
  float score;
};

struct Answer {
  std::size_t index;
  std::string label;
  float score;
  std::vector<float> probabilities;
  std::vector<ConceptAnswer> concepts;
};

// An opened bundle. Sessions of ONNX Runtime may be used by several threads at once.
class Model {
 public:
  // Throws BundleError if the file is not what the manifest says.
  Model(Bundle bundle, int threads);

  const Bundle& bundle() const { return bundle_; }

  // The answer for pixels (height, width, channels), as many as the bundle's input says.
  Answer predict(std::vector<std::uint8_t> pixels);

 private:
  void check_contract() const;

  Bundle bundle_;
  Ort::Env env_;
  Ort::Session session_;
};
