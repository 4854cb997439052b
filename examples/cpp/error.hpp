#pragma once

#include <stdexcept>
#include <string>

// What went wrong: expected, got, what to do. The exit codes are those of `python -m hkd_edge_runtime`.
class Error : public std::runtime_error {
 public:
  Error(int code, const std::string& message) : std::runtime_error(message), exit_code(code) {}
  const int exit_code;
};

struct BundleError : Error {
  explicit BundleError(const std::string& message) : Error(10, message) {}
};

struct ImageError : Error {
  explicit ImageError(const std::string& message) : Error(12, message) {}
};
