// classify BUNDLE IMAGE...: what an hkd-edge bundle says about images, without Python.

#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bundle.hpp"
#include "error.hpp"
#include "golden.hpp"
#include "image.hpp"
#include "model.hpp"

namespace {

constexpr auto USAGE =
    "usage: classify [--precision fp32|int8|auto] [--threads N] [--json] [--no-verify] BUNDLE IMAGE...\n"
    "       classify [--precision fp32|int8|auto] [--threads N] --verify BUNDLE\n"
    "  BUNDLE       folder with a manifest.json\n"
    "  IMAGE        binary PGM or PPM file of the model's size\n"
    "  --verify     only run the golden images of the bundle, and tell how far they are off\n"
    "  --no-verify  do not run them first\n";

struct UsageError : Error {
  explicit UsageError(const std::string& message) : Error(2, message + "\n" + USAGE) {}
};

struct Options {
  std::string precision = "auto", bundle;
  int threads = 1;
  bool json = false, verify = true, only_verify = false;
  std::vector<std::string> images;
};

int positive(const std::string& text) {
  char* end = nullptr;
  const long number = std::strtol(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || number < 1 || number > 1024)
    throw UsageError("--threads: expected a number from 1 to 1024, got '" + text + "'.");
  return static_cast<int>(number);
}

Options parse(const std::vector<std::string>& arguments) {
  Options options;
  std::vector<std::string> paths;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const auto& argument = arguments[i];
    const auto value = [&]() -> const std::string& {
      if (++i == arguments.size()) throw UsageError(argument + ": expected a value after it.");
      return arguments[i];
    };
    if (argument == "--json")
      options.json = true;
    else if (argument == "--verify")
      options.only_verify = true;
    else if (argument == "--no-verify")
      options.verify = false;
    else if (argument == "--precision")
      options.precision = value();
    else if (argument == "--threads")
      options.threads = positive(value());
    else if (argument.rfind("--", 0) == 0)
      throw UsageError(argument + ": unknown option.");
    else
      paths.push_back(argument);
  }
  if (options.only_verify ? paths.size() != 1 || !options.verify : paths.size() < 2)
    throw UsageError(options.only_verify ? "--verify: expected a bundle and nothing else."
                                         : "expected a bundle and at least one image.");
  options.bundle = paths.front();
  options.images.assign(paths.begin() + 1, paths.end());
  return options;
}

void print_text(const std::string& image, const Answer& answer) {
  std::cout << image << ": " << answer.label << " " << answer.score;
  for (const auto& each : answer.concepts)
    std::cout << "; " << each.axis << ": " << (each.concept_name.empty() ? "none" : each.concept_name) << " "
              << each.score;
  std::cout << "\n";
}

// One line for each image, with the keys of `python -m hkd_edge_runtime predict --json`.
void print_json(const std::string& image, const Answer& answer, const Bundle& bundle) {
  nlohmann::ordered_json line = {{"image", image},        {"target", "onnxruntime"}, {"precision", bundle.precision},
                                 {"label", answer.label}, {"score", answer.score},   {"index", answer.index}};
  for (std::size_t i = 0; i < bundle.labels.size(); ++i)
    line["probabilities"][bundle.labels[i]] = answer.probabilities[i];
  line["concepts"] = nlohmann::ordered_json::object();
  for (const auto& each : answer.concepts) {
    auto& entry = line["concepts"][each.axis];
    entry["concept"] = each.concept_name.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(each.concept_name);
    entry["score"] = each.score;
  }
  std::cout << line.dump() << "\n";
}

void run(const Options& options) {
  Model model(read_bundle(options.bundle, options.precision), options.threads);
  if (options.verify) {
    const auto result = check_golden(model);
    if (options.only_verify)
      std::cout << "onnxruntime " << model.bundle().precision << ": " << result.images
                << " golden images agree, largest difference " << result.max_difference << " (tolerance "
                << result.tolerance << ")\n";
  }
  for (const auto& image : options.images) {
    const auto answer = model.predict(read_image(image, model.bundle().input));
    if (options.json)
      print_json(image, answer, model.bundle());
    else
      print_text(image, answer);
  }
}

}  // namespace

int main(int count, char** arguments) {
  try {
    run(parse({arguments + 1, arguments + count}));
  } catch (const Error& error) {
    std::cerr << "error: " << error.what() << "\n";
    return error.exit_code;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
