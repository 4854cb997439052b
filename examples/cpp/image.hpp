#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "bundle.hpp"

// The pixels (height, width, channels) of a binary PGM (P5) or PPM (P6) file of 8 bits, in the model's channels: colour
// becomes grey by ITU-R 601 luma with Pillow's rounding, grey becomes three equal channels. Throws ImageError for
// other files and for another size than the model's: resize before, as the camera's pipeline does anyway.
std::vector<std::uint8_t> read_image(const std::filesystem::path& path, const InputSpec& spec);
