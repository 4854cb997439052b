#include "bundle.hpp"

#include <openssl/evp.h>

#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

#include "error.hpp"

namespace fs = std::filesystem;
// The order of the axes and of their concepts is the order of the model's outputs, so a sorted map will not do.
using Json = nlohmann::ordered_json;

namespace {

constexpr auto FORMAT = "hkd-edge-bundle";
constexpr int FORMAT_VERSION = 1;
constexpr auto TARGET = "onnxruntime";

std::vector<std::uint8_t> read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || !fs::is_regular_file(path))
    throw BundleError(path.string() + ": expected a file, found none. Copy the bundle again.");
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string sha256(const std::vector<std::uint8_t>& bytes) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  if (!context || EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1 ||
      EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) != 1 ||
      EVP_DigestFinal_ex(context.get(), digest, &length) != 1)
    throw std::runtime_error("OpenSSL cannot compute SHA-256");
  static constexpr char HEX[] = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < length; ++i) {
    text += HEX[digest[i] >> 4];
    text += HEX[digest[i] & 15];
  }
  return text;
}

Json parse_manifest(const fs::path& path) {
  Json manifest = Json::parse(read_file(path));
  const auto format = manifest.value("format", "");
  const auto version = manifest.value("format_version", 0);
  if (format != FORMAT || version != FORMAT_VERSION)
    throw BundleError(path.string() + ": expected " + FORMAT + " of version " + std::to_string(FORMAT_VERSION) +
                      ", got '" + format + "' of version " + std::to_string(version) + ". Export the bundle again.");
  return manifest;
}

// The path of a bundle's file, which must stay inside the bundle.
fs::path inside(const fs::path& folder, const std::string& relative) {
  const fs::path path(relative);
  bool plain = !path.empty() && path.is_relative() && path.lexically_normal() == path;
  fs::path walked = folder;
  for (const auto& part : path) {
    walked /= part;
    plain = plain && part != ".." && part != "." && !fs::is_symlink(walked);
  }
  if (!plain)
    throw BundleError("path: expected a plain relative path inside the bundle, got '" + relative + "'.");
  return walked;
}

std::vector<std::uint8_t> read_verified(const fs::path& folder, const Json& entry) {
  const auto path = inside(folder, entry.at("path").get<std::string>());
  auto bytes = read_file(path);
  const auto expected = entry.at("sha256").get<std::string>();
  const auto actual = sha256(bytes);
  if (bytes.size() != entry.at("size_bytes").get<std::size_t>() || actual != expected)
    throw BundleError(path.string() + ": expected SHA-256 " + expected.substr(0, 12) + "..., got " +
                      actual.substr(0, 12) + "... Copy the bundle again.");
  return bytes;
}

double latency_ms(const Json& artefact) {
  return artefact.at("metrics").value("p50_ms", std::numeric_limits<double>::infinity());
}

const Json& choose(const Json& manifest, const std::string& precision) {
  const Json* best = nullptr;
  std::string offered;
  for (const auto& artefact : manifest.at("artefacts")) {
    if (artefact.at("target") != TARGET) continue;
    const auto own = artefact.at("precision").get<std::string>();
    offered += " " + own + (artefact.at("shipped").get<bool>() ? "" : " (not shipped)");
    const bool fits = precision == "auto" ? artefact.at("shipped").get<bool>() : own == precision;
    if (fits && (best == nullptr || latency_ms(artefact) < latency_ms(*best))) best = &artefact;
  }
  if (best == nullptr)
    throw BundleError("precision: expected one of the bundle's for ONNX Runtime:" + offered + ", got " + precision +
                      ".");
  return *best;
}

// For one artefact alone by its title, or else by its precision.
double read_tolerance(const Json& tolerances, const std::string& precision) {
  const auto title = std::string(TARGET) + " " + precision;
  return tolerances.at(tolerances.contains(title) ? title : precision).get<double>();
}

std::vector<Axis> read_axes(const Json& hierarchy) {
  std::vector<Axis> axes;
  for (const auto& [name, concepts] : hierarchy.at("axes").items()) {
    Axis axis{name, {}};
    for (const auto& [concept_name, classes] : concepts.items()) axis.concepts.push_back(concept_name);
    axes.push_back(axis);
  }
  return axes;
}

}  // namespace

std::size_t Bundle::concept_count() const {
  return std::accumulate(axes.begin(), axes.end(), std::size_t{0},
                         [](std::size_t sum, const Axis& axis) { return sum + axis.concepts.size(); });
}

Bundle read_bundle(const fs::path& folder, const std::string& precision) {
  const auto path = folder / "manifest.json";
  try {
    const Json manifest = parse_manifest(path);
    const auto& input = manifest.at("input");
    const auto& artefact = choose(manifest, precision);
    const auto& golden = manifest.at("golden");
    return {
        manifest.at("name"),
        {input.at("height"), input.at("width"), input.at("channels")},
        manifest.at("labels"),
        read_axes(manifest.at("hierarchy")),
        artefact.at("precision"),
        read_verified(folder, artefact.at("files").at(0)),
        read_verified(folder, golden.at("file")),
        read_tolerance(golden.at("tolerance"), artefact.at("precision").get<std::string>()),
    };
  } catch (const Json::exception& error) {
    throw BundleError(path.string() + ": expected a bundle's manifest: " + error.what() + ". Export the bundle again.");
  }
}
