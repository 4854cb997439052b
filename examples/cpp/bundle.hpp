#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

struct InputSpec {
  std::size_t height, width, channels;
};

// One axis of the hierarchy; its concepts are columns of the model's `concept_probabilities`, axis after axis.
struct Axis {
  std::string name;
  std::vector<std::string> concepts;
};

// What the program needs of a bundle: one artefact for ONNX Runtime and the names of its answers.
struct Bundle {
  std::string name;
  InputSpec input;
  std::vector<std::string> labels;
  std::vector<Axis> axes;
  std::string precision;
  std::vector<std::uint8_t> model;  // the bytes of the .onnx file, whose SHA-256 was checked
  std::vector<std::uint8_t> golden;  // likewise of the .npz file with the golden images
  double tolerance;                  // how far a golden probability may lie from the stored one

  std::size_t concept_count() const;
};

// Reads `folder`/manifest.json and the artefact of a precision ("fp32", "int8"); of "auto" the shipped one with the
// lowest p50_ms. Throws BundleError for a manifest of another format, an artefact that is not there, or one whose
// size or SHA-256 is not the manifest's.
Bundle read_bundle(const std::filesystem::path& folder, const std::string& precision);
