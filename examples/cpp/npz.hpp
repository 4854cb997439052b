#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

// One array of numpy's: `dtype` as numpy writes it ("|u1", "<f4"), `data` in C order.
struct Array {
  std::string dtype;
  std::vector<std::size_t> shape;
  std::vector<std::uint8_t> data;
};

// The array `name` of the bytes of an .npz file, as numpy.savez and numpy.savez_compressed write it. Throws BundleError
// for other bytes, and if there is no such array. Only what these two write is read: no zip64, no comment, no encryption.
Array read_npz(const std::vector<std::uint8_t>& npz, const std::string& name);
