#include "npz.hpp"

#include <zlib.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "error.hpp"

namespace {

using Bytes = std::vector<std::uint8_t>;

// The format: PKWARE's APPNOTE, sections 4.3.7 (local header), 4.3.12 (directory), 4.3.16 (end).
constexpr std::uint32_t LOCAL = 0x04034b50, DIRECTORY = 0x02014b50, END = 0x06054b50;
constexpr std::size_t LOCAL_BYTES = 30, DIRECTORY_BYTES = 46, END_BYTES = 22;
constexpr std::uint32_t STORED = 0, DEFLATED = 8;
// Far more than golden images take; a damaged size must not take all the memory.
constexpr std::size_t LIMIT_BYTES = std::size_t{1} << 30;

[[noreturn]] void refuse(const std::string& what) {
  throw BundleError("golden images: expected an .npz file of numpy's, " + what + ". Export the bundle again.");
}

// Throws unless `count` bytes lie at `offset`.
void check_inside(const Bytes& bytes, std::size_t offset, std::size_t count) {
  if (offset > bytes.size() || count > bytes.size() - offset) refuse("got one that is cut short");
}

// A little-endian number of `width` bytes.
std::uint32_t number(const Bytes& bytes, std::size_t offset, std::size_t width) {
  check_inside(bytes, offset, width);
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < width; ++i) value |= static_cast<std::uint32_t>(bytes[offset + i]) << (8 * i);
  return value;
}

std::string text(const Bytes& bytes, std::size_t offset, std::size_t count) {
  check_inside(bytes, offset, count);
  const auto first = bytes.begin() + static_cast<std::ptrdiff_t>(offset);
  return {first, first + static_cast<std::ptrdiff_t>(count)};
}

// Where the directory's entry for `file` starts.
std::size_t find_entry(const Bytes& npz, const std::string& file) {
  if (npz.size() < END_BYTES || number(npz, npz.size() - END_BYTES, 4) != END) refuse("got another file");
  const auto entries = number(npz, npz.size() - END_BYTES + 10, 2);
  std::size_t at = number(npz, npz.size() - END_BYTES + 16, 4);
  for (std::uint32_t entry = 0; entry < entries; ++entry) {
    if (number(npz, at, 4) != DIRECTORY) refuse("got a damaged directory");
    const std::size_t name_bytes = number(npz, at + 28, 2);
    if (text(npz, at + DIRECTORY_BYTES, name_bytes) == file) return at;
    at += DIRECTORY_BYTES + name_bytes + number(npz, at + 30, 2) + number(npz, at + 32, 2);
  }
  refuse("got one without '" + file + "'");
}

Bytes inflate_bytes(const Bytes& npz, std::size_t offset, std::size_t packed_bytes, std::size_t size_bytes) {
  Bytes content(size_bytes);
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) throw std::runtime_error("zlib cannot be started");
  stream.next_in = const_cast<Bytef*>(npz.data() + offset);
  stream.avail_in = static_cast<uInt>(packed_bytes);
  stream.next_out = content.data();
  stream.avail_out = static_cast<uInt>(size_bytes);
  const int done = inflate(&stream, Z_FINISH);
  const auto written = stream.total_out;
  inflateEnd(&stream);
  if (done != Z_STREAM_END || written != size_bytes) refuse("got one whose data does not unpack");
  return content;
}

Bytes read_entry(const Bytes& npz, const std::string& file) {
  const std::size_t entry = find_entry(npz, file);
  const auto method = number(npz, entry + 10, 2);
  const std::size_t packed_bytes = number(npz, entry + 20, 4), size_bytes = number(npz, entry + 24, 4);
  const std::size_t local = number(npz, entry + 42, 4);
  if (number(npz, local, 4) != LOCAL) refuse("got a damaged header");
  const std::size_t start = local + LOCAL_BYTES + number(npz, local + 26, 2) + number(npz, local + 28, 2);
  check_inside(npz, start, packed_bytes);
  if (size_bytes > LIMIT_BYTES || (method == STORED && packed_bytes != size_bytes)) refuse("got sizes that cannot be");
  if (method != STORED && method != DEFLATED) refuse("got a compression of another kind");
  const auto first = npz.begin() + static_cast<std::ptrdiff_t>(start);
  auto content = method == STORED ? Bytes(first, first + static_cast<std::ptrdiff_t>(size_bytes))
                                  : inflate_bytes(npz, start, packed_bytes, size_bytes);
  if (crc32(0, content.data(), static_cast<uInt>(content.size())) != number(npz, entry + 16, 4))
    refuse("got a wrong CRC of '" + file + "'");
  return content;
}

// What stands between two marks of a header.
std::string between(const std::string& header, const std::string& before, const std::string& after) {
  const auto found = header.find(before), start = found + before.size();
  const auto end = found == std::string::npos ? found : header.find(after, start);
  if (end == std::string::npos) refuse("got an array with another header");
  return header.substr(start, end - start);
}

// The sizes of "3, 8, 8, 1" or "3,".
std::vector<std::size_t> read_shape(std::string sizes) {
  std::replace(sizes.begin(), sizes.end(), ',', ' ');
  std::istringstream stream(sizes);
  std::vector<std::size_t> shape;
  for (std::size_t size; stream >> size;) shape.push_back(size);
  if (!stream.eof()) refuse("got an array of the shape (" + sizes + ")");
  return shape;
}

}  // namespace

Array read_npz(const Bytes& npz, const std::string& name) {
  // numpy.lib.format: magic, version, length of the header, the header as a Python literal, then the numbers.
  const auto npy = read_entry(npz, name + ".npy");
  if (text(npy, 0, 6) != "\x93NUMPY") refuse("got one in which '" + name + "' is no array");
  const std::size_t width = number(npy, 6, 1) == 1 ? 2 : 4;
  const std::size_t header_bytes = number(npy, 8, width), start = 8 + width + header_bytes;
  const auto header = text(npy, 8 + width, header_bytes);
  if (header.find("'fortran_order': False") == std::string::npos) refuse("got '" + name + "' in another order");
  return {between(header, "'descr': '", "'"),
          read_shape(between(header, "'shape': (", ")")),
          {npy.begin() + static_cast<std::ptrdiff_t>(start), npy.end()}};
}
