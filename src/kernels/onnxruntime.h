// The part of ONNX Runtime's C ABI that a library of custom operators needs, declared by hand: nothing to download,
// and one binary for every version from 1.17 on. Names, positions in `struct OrtApi` and the layout of OrtCustomOp
// are those of onnxruntime_c_api.h; neither ever changes, later versions only append.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mae::ort {

struct Status;
struct Value;
struct KernelContext;
struct KernelInfo;
struct SessionOptions;
struct CustomOpDomain;
struct TypeAndShape;
struct Allocator;

constexpr uint32_t api_version = 17;
constexpr int element_float = 1;
constexpr int element_bfloat16 = 16;

// enum OrtCustomOpInputOutputCharacteristic
constexpr int required = 0;
constexpr int optional = 1;

// A position in `struct OrtApi` and the function that stands there.
template <size_t position, typename Function>
struct Entry {
  static Function of(const void* api) {
    return reinterpret_cast<Function>(static_cast<void* const*>(api)[position]);
  }
};

using CreateStatus = Entry<0, Status* (*)(int code, const char* message)>;
using CreateCustomOpDomain = Entry<26, Status* (*)(const char* domain, CustomOpDomain**)>;
using CustomOpDomainAdd = Entry<27, Status* (*)(CustomOpDomain*, const void* op)>;
using AddCustomOpDomain = Entry<28, Status* (*)(SessionOptions*, CustomOpDomain*)>;
using GetTensorMutableData = Entry<51, Status* (*)(Value*, void**)>;
using GetTensorElementType = Entry<60, Status* (*)(const TypeAndShape*, int*)>;
using GetDimensionsCount = Entry<61, Status* (*)(const TypeAndShape*, size_t*)>;
using GetDimensions = Entry<62, Status* (*)(const TypeAndShape*, int64_t*, size_t)>;
using GetTensorTypeAndShape = Entry<65, Status* (*)(const Value*, TypeAndShape**)>;
using AllocatorAlloc = Entry<75, Status* (*)(Allocator*, size_t, void**)>;
using AllocatorFree = Entry<76, Status* (*)(Allocator*, void*)>;
using KernelInfoGetAttributeFloat = Entry<85, Status* (*)(const KernelInfo*, const char*, float*)>;
using KernelInfoGetAttributeInt64 = Entry<86, Status* (*)(const KernelInfo*, const char*, int64_t*)>;
using KernelContextGetInputCount = Entry<88, Status* (*)(const KernelContext*, size_t*)>;
using KernelContextGetOutputCount = Entry<89, Status* (*)(const KernelContext*, size_t*)>;
using KernelContextGetInput = Entry<90, Status* (*)(const KernelContext*, size_t, const Value**)>;
using KernelContextGetOutput =
    Entry<91, Status* (*)(KernelContext*, size_t, const int64_t* dims, size_t rank, Value**)>;
using ReleaseStatus = Entry<93, void (*)(Status*)>;
using ReleaseTypeAndShape = Entry<99, void (*)(TypeAndShape*)>;
using ReleaseAllocator = Entry<132, void (*)(Allocator*)>;
using KernelContextParallelFor =
    Entry<274, Status* (*)(const KernelContext*, void (*body)(void*, size_t), size_t total, size_t batches, void*)>;
using KernelInfoGetAllocator = Entry<278, Status* (*)(const KernelInfo*, int memory, Allocator**)>;

// struct OrtApiBase
struct ApiBase {
  const void* (*get_api)(uint32_t version);
  const char* (*get_version_string)();
};

// struct OrtCustomOp
struct CustomOp {
  uint32_t version;
  void* (*create_kernel)(const CustomOp*, const void* api, const KernelInfo*);
  const char* (*get_name)(const CustomOp*);
  const char* (*get_execution_provider_type)(const CustomOp*);
  int (*get_input_type)(const CustomOp*, size_t);
  size_t (*get_input_type_count)(const CustomOp*);
  int (*get_output_type)(const CustomOp*, size_t);
  size_t (*get_output_type_count)(const CustomOp*);
  void (*kernel_compute)(void* kernel, KernelContext*);
  void (*kernel_destroy)(void* kernel);
  int (*get_input_characteristic)(const CustomOp*, size_t);
  int (*get_output_characteristic)(const CustomOp*, size_t);
  int (*get_input_memory_type)(const CustomOp*, size_t);
  int (*get_variadic_input_min_arity)(const CustomOp*);
  int (*get_variadic_input_homogeneity)(const CustomOp*);
  int (*get_variadic_output_min_arity)(const CustomOp*);
  int (*get_variadic_output_homogeneity)(const CustomOp*);
  Status* (*create_kernel_v2)(const CustomOp*, const void* api, const KernelInfo*, void** kernel);
  Status* (*kernel_compute_v2)(void* kernel, KernelContext*);
  void* infer_output_shape;
  int (*get_start_version)(const CustomOp*);
  int (*get_end_version)(const CustomOp*);
  size_t (*get_may_inplace)(int** inputs, int** outputs);
  void (*release_may_inplace)(int* inputs, int* outputs);
  size_t (*get_alias_map)(int** inputs, int** outputs);
  void (*release_alias_map)(int* inputs, int* outputs);
};

}  // namespace mae::ort
