#include "model.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "error.hpp"

namespace {

constexpr auto INPUT = "images";
constexpr std::array OUTPUTS = {"probabilities", "concept_probabilities"};

Ort::Env make_env() {
  // The library hands out null for headers newer than itself, which the first call would run into.
  if (OrtGetApiBase()->GetApi(ORT_API_VERSION) == nullptr)
    throw std::runtime_error("expected ONNX Runtime 1." + std::to_string(ORT_API_VERSION) + " or newer, got " +
                             OrtGetApiBase()->GetVersionString() + ". Install the library that belongs to the headers.");
  // Read when the environment is made, at which 1.32 for Linux would begin to report its use.
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);
  Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "hkd-edge");
  env.DisableTelemetryEvents();
  return env;
}

Ort::Session open_session(const Ort::Env& env, const Bundle& bundle, int threads) {
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(threads);
  options.SetInterOpNumThreads(1);
  try {
    return {env, bundle.model.data(), bundle.model.size(), options};
  } catch (const Ort::Exception& error) {
    throw BundleError(bundle.name + " " + bundle.precision + ": expected a model for ONNX Runtime " +
                      Ort::GetVersionString() + ", which refuses it: " + error.what() + ".");
  }
}

std::vector<ConceptAnswer> decode_concepts(const std::vector<Axis>& axes, const float* masses) {
  std::vector<ConceptAnswer> answers;
  for (const auto& axis : axes) {
    const auto end = masses + axis.concepts.size();
    const auto largest = std::max_element(masses, end);
    const float silent = static_cast<float>(1.0 - std::accumulate(masses, end, 0.0));
    if (silent > *largest)
      answers.push_back({axis.name, "", silent});
    else
      answers.push_back({axis.name, axis.concepts[static_cast<std::size_t>(largest - masses)], *largest});
    masses = end;
  }
  return answers;
}

}  // namespace

Model::Model(Bundle bundle, int threads)
    : bundle_(std::move(bundle)),
      env_(make_env()),
      session_(open_session(env_, bundle_, threads)) {
  check_contract();
}

void Model::check_contract() const {
  Ort::AllocatorWithDefaultOptions allocator;
  const auto& input = bundle_.input;
  const std::vector<std::int64_t> expected = {-1, static_cast<std::int64_t>(input.height),
                                              static_cast<std::int64_t>(input.width),
                                              static_cast<std::int64_t>(input.channels)};
  const auto type = session_.GetInputTypeInfo(0);
  const auto tensor = type.GetTensorTypeAndShapeInfo();
  if (session_.GetInputCount() != 1 || session_.GetInputNameAllocated(0, allocator).get() != std::string(INPUT) ||
      tensor.GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 || tensor.GetShape() != expected)
    throw BundleError(bundle_.name + ": expected one input 'images' of uint8 (batch, " + std::to_string(input.height) +
                      ", " + std::to_string(input.width) + ", " + std::to_string(input.channels) +
                      "). Export the bundle again.");
}

Answer Model::predict(std::vector<std::uint8_t> pixels) {
  const auto& input = bundle_.input;
  const std::array<std::int64_t, 4> shape = {1, static_cast<std::int64_t>(input.height),
                                             static_cast<std::int64_t>(input.width),
                                             static_cast<std::int64_t>(input.channels)};
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const auto image = Ort::Value::CreateTensor<std::uint8_t>(memory, pixels.data(), pixels.size(), shape.data(), 4);
  const std::size_t output_count = bundle_.axes.empty() ? 1 : 2;
  const auto outputs = session_.Run(Ort::RunOptions{nullptr}, &INPUT, &image, 1, OUTPUTS.data(), output_count);

  const std::array<std::size_t, 2> widths = {bundle_.labels.size(), bundle_.concept_count()};
  for (std::size_t i = 0; i < output_count; ++i)
    if (outputs[i].GetTensorTypeAndShapeInfo().GetElementCount() != widths[i])
      throw BundleError(std::string(OUTPUTS[i]) + ": expected " + std::to_string(widths[i]) + " numbers. Export again.");
  const float* first = outputs[0].GetTensorData<float>();
  std::vector<float> probabilities(first, first + widths[0]);
  if (std::any_of(probabilities.begin(), probabilities.end(), [](float each) { return std::isnan(each); }))
    throw BundleError("probabilities: expected numbers, got NaN. The artefact does not run right here; verify it.");
  const auto best = std::max_element(probabilities.begin(), probabilities.end());
  const auto index = static_cast<std::size_t>(best - probabilities.begin());
  auto concepts = output_count == 2 ? decode_concepts(bundle_.axes, outputs[1].GetTensorData<float>())
                                    : std::vector<ConceptAnswer>{};
  return {index, bundle_.labels[index], *best, std::move(probabilities), std::move(concepts)};
}
