#include "image.hpp"

#include <cctype>
#include <fstream>
#include <limits>
#include <string>

#include "error.hpp"

namespace {

// The next number of a header, in which white space and comments (# to the end of the line) separate.
std::size_t header_number(std::istream& file, const std::string& path) {
  while (std::isspace(file.peek()) || file.peek() == '#') {
    if (file.get() == '#') file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  std::size_t number = 0;
  if (!std::isdigit(file.peek()) || !(file >> number))
    throw ImageError(path + ": expected a number in the header of the image, got something else.");
  return number;
}

std::uint8_t luma(const std::uint8_t* rgb) {
  return static_cast<std::uint8_t>((rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >> 16);
}

std::vector<std::uint8_t> convert(const std::vector<std::uint8_t>& pixels, std::size_t from, std::size_t to) {
  if (from == to) return pixels;
  std::vector<std::uint8_t> converted;
  converted.reserve(pixels.size() / from * to);
  for (std::size_t i = 0; i < pixels.size(); i += from) {
    if (to == 1)
      converted.push_back(luma(&pixels[i]));
    else
      converted.insert(converted.end(), to, pixels[i]);
  }
  return converted;
}

}  // namespace

std::vector<std::uint8_t> read_image(const std::filesystem::path& path, const InputSpec& spec) {
  const auto name = path.string();
  std::ifstream file(path, std::ios::binary);
  std::string magic(2, ' ');
  if (!file.read(magic.data(), 2) || (magic != "P5" && magic != "P6"))
    throw ImageError(name + ": expected a binary PGM (P5) or PPM (P6) file. Convert the image.");
  const auto width = header_number(file, name), height = header_number(file, name);
  const auto white = header_number(file, name);
  file.get();  // the one white space before the pixels
  if (white != 255) throw ImageError(name + ": expected 8 bits with white = 255, got " + std::to_string(white) + ".");
  if (width != spec.width || height != spec.height)
    throw ImageError(name + ": expected " + std::to_string(spec.width) + " x " + std::to_string(spec.height) +
                     " pixels, got " + std::to_string(width) + " x " + std::to_string(height) + ". Resize the image.");
  const std::size_t channels = magic == "P5" ? 1 : 3;
  std::vector<std::uint8_t> pixels(width * height * channels);
  if (!file.read(reinterpret_cast<char*>(pixels.data()), static_cast<std::streamsize>(pixels.size())))
    throw ImageError(name + ": expected " + std::to_string(pixels.size()) + " bytes of pixels, got fewer.");
  return convert(pixels, channels, spec.channels);
}
