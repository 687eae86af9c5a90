/**
 * Stands in for NVIDIA's driver and runtime libraries, so that ONNX Runtime's real CUDA provider starts without a card:
 * it partitions graphs, plans memory and copies as it would, and its kernels do nothing. Memory is the host's.
 * The functions that the provider asks for and that are not here return 0; `fake-cuda.ts` writes them.
 *
 *   FAKE_CUDA_DEVICES  how many cards there are (1)
 *   FAKE_CUDA_MEMORY   bytes of each (8 GiB)
 *   FAKE_CUDA_ERROR    what cuInit and cudaGetDeviceCount return (0): 35 and 100 are those of cudaError_t
 *   FAKE_CUDA_DRIVER   the version of CUDA that the driver has (13000)
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static int64_t setting(const char *name, int64_t otherwise) {
  const char *text = getenv(name);
  return text && *text ? atoll(text) : otherwise;
}

/* cudaError_t */
enum { outOfMemory = 2, insufficientDriver = 35, noDevice = 100, invalidDevice = 101 };

static int devices(void) { return (int)setting("FAKE_CUDA_DEVICES", 1); }
static size_t memory(void) { return (size_t)setting("FAKE_CUDA_MEMORY", (int64_t)8 << 30); }
static int startError(void) { return (int)setting("FAKE_CUDA_ERROR", 0); }
static int driverVersion(void) { return (int)setting("FAKE_CUDA_DRIVER", 13000); }

/* ---- memory: pages that cost nothing before they are written, with their size in a page before them ---- */
static size_t used, peak;
static const size_t page = 4096;

static int take(void **out, size_t bytes) {
  if (used + bytes > memory()) return outOfMemory;
  char *base = mmap(0, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return outOfMemory;
  *(size_t *)base = bytes;
  used += bytes;
  if (used > peak) peak = used;
  *out = base + page;
  return 0;
}

static int give(void *memory) {
  if (!memory) return 0;
  char *base = (char *)memory - page;
  size_t bytes = *(size_t *)base;
  used -= bytes;
  return munmap(base, bytes + page) ? 1 : 0;
}

/** The most bytes that were taken at once. */
size_t fake_cuda_peak(void) { return peak; }

/* ---- the driver ---- */
int cuInit(unsigned flags) { return startError() == insufficientDriver ? 0 : startError(); }
int cuDriverGetVersion(int *version) { return *version = driverVersion(), 0; }
int cuDeviceGetCount(int *count) { return *count = devices(), 0; }
int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, ordinal < devices() ? 0 : invalidDevice; }
int cuDeviceGetName(char *name, int length, int device) { return snprintf(name, length, "Fake GPU"), 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  return *value = attribute == 75 ? 9 : 0, 0; /* compute capability 9.0 */
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { return *bytes = memory(), 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { return *context = (void *)1, 0; }
int cuDevicePrimaryCtxRelease_v2(int device) { return 0; }
int cuCtxSetCurrent(void *context) { return 0; }
int cuMemGetInfo_v2(size_t *available, size_t *total) {
  return *available = memory() - used, *total = memory(), 0;
}
int cuGetErrorString(int error, const char **text) {
  return *text = error == noDevice ? "no CUDA-capable device is detected" : "unknown error", 0;
}

/* ---- the runtime ---- */
struct cudaDeviceProp { /* the beginning of CUDA 13's */
  char name[256], uuid[16], luid[8];
  unsigned luidDeviceNodeMask;
  size_t totalGlobalMem, sharedMemPerBlock;
  int regsPerBlock, warpSize;
  size_t memPitch;
  int maxThreadsPerBlock, maxThreadsDim[3], maxGridSize[3];
  size_t totalConstMem;
  int major, minor;
  size_t textureAlignment, texturePitchAlignment;
  int multiProcessorCount;
};

static __thread int current;
int cudaGetDeviceCount(int *count) { return *count = startError() ? 0 : devices(), startError(); }
int cudaGetDevice(int *device) { return *device = current, 0; }
int cudaSetDevice(int device) {
  if (startError()) return startError();
  if (device < 0 || device >= devices()) return invalidDevice;
  return current = device, 0;
}
int cudaGetDeviceProperties(struct cudaDeviceProp *p, int device) {
  *p = (struct cudaDeviceProp){
      .name = "Fake GPU", .totalGlobalMem = memory(), .sharedMemPerBlock = 49152, .regsPerBlock = 65536,
      .warpSize = 32, .memPitch = 2147483647, .maxThreadsPerBlock = 1024, .maxThreadsDim = {1024, 1024, 64},
      .maxGridSize = {2147483647, 65535, 65535}, .totalConstMem = 65536, .major = 9, .minor = 0,
      .textureAlignment = 512, .texturePitchAlignment = 32, .multiProcessorCount = 132};
  return 0;
}
int cudaDeviceGetAttribute(int *value, int attribute, int device) { return *value = 1024, 0; }
int cudaDriverGetVersion(int *version) { return *version = driverVersion(), 0; }
int cudaRuntimeGetVersion(int *version) { return *version = 13000, 0; }
const char *cudaGetErrorName(int error) { return error == outOfMemory ? "cudaErrorMemoryAllocation" : "cudaError"; }
const char *cudaGetErrorString(int error) { /* the real runtime's words */
  switch (error) {
    case 0: return "no error";
    case outOfMemory: return "out of memory";
    case insufficientDriver: return "CUDA driver version is insufficient for CUDA runtime version";
    case noDevice: return "no CUDA-capable device is detected";
    case invalidDevice: return "invalid device ordinal";
    default: return "unknown error";
  }
}
int cudaMemGetInfo(size_t *available, size_t *total) { return cuMemGetInfo_v2(available, total); }
int cudaMalloc(void **out, size_t bytes) { return take(out, bytes); }
int cudaFree(void *memory) { return give(memory); }
int cudaMallocHost(void **out, size_t bytes) { return *out = malloc(bytes), 0; }
int cudaHostAlloc(void **out, size_t bytes, unsigned flags) { return *out = malloc(bytes), 0; }
int cudaFreeHost(void *memory) { return free(memory), 0; }

/*
 * What is copied to the card arrives as late as CUDA allows: when its stream, or all of the card, is waited for, or when
 * that stream has other work. Pageable memory was read by then; another stream sees what was there before.
 * Source: "API synchronization behavior" of the CUDA runtime.
 */
struct arrival {
  struct arrival *next;
  void *stream, *to;
  size_t bytes;
  char from[];
};
static struct arrival *arrivals; /* the oldest first */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const int hostToDevice = 1;

static void arrive(void *stream, int all) {
  pthread_mutex_lock(&lock);
  for (struct arrival **place = &arrivals; *place;) {
    struct arrival *each = *place;
    if (!all && each->stream != stream) {
      place = &each->next;
      continue;
    }
    memcpy(each->to, each->from, each->bytes);
    *place = each->next;
    free(each);
  }
  pthread_mutex_unlock(&lock);
}

static void depart(void *to, const void *from, size_t bytes, void *stream) {
  struct arrival *each = malloc(sizeof *each + bytes), **place = &arrivals;
  *each = (struct arrival){.stream = stream, .to = to, .bytes = bytes};
  memcpy(each->from, from, bytes);
  pthread_mutex_lock(&lock);
  while (*place) place = &(*place)->next;
  *place = each;
  pthread_mutex_unlock(&lock);
}

int cudaDeviceSynchronize(void) { return arrive(0, 1), 0; }
int cudaStreamSynchronize(void *stream) { return arrive(stream, 0), 0; }
int cudaEventRecord(void *event, void *stream) { return arrive(stream, 0), 0; }
int cudaMemcpy(void *to, const void *from, size_t bytes, int kind) {
  arrive(0, 0);
  if (kind == hostToDevice) return depart(to, from, bytes, 0), 0;
  return memmove(to, from, bytes), 0;
}
int cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind, void *stream) {
  arrive(stream, 0);
  if (kind == hostToDevice) return depart(to, from, bytes, stream), 0;
  return memmove(to, from, bytes), 0;
}
int cudaMemset(void *to, int value, size_t bytes) { return memset(to, value, bytes), 0; }
int cudaMemsetAsync(void *to, int value, size_t bytes, void *stream) {
  return arrive(stream, 0), memset(to, value, bytes), 0;
}

static int handle(void **out) {
  static char handles[1 << 16];
  static int count;
  return *out = &handles[count++ % sizeof handles], 0;
}
int cudaStreamCreate(void **out) { return handle(out); }
int cudaStreamCreateWithFlags(void **out, unsigned flags) { return handle(out); }
int cudaStreamIsCapturing(void *stream, int *status) { return *status = 0, 0; }
int cudaEventCreate(void **out) { return handle(out); }
int cudaEventCreateWithFlags(void **out, unsigned flags) { return handle(out); }
int cudaEventElapsedTime(float *milliseconds, void *from, void *to) { return *milliseconds = 1, 0; }
int cudaStreamEndCapture(void *stream, void **graph) { return handle(graph); }
int cudaGraphInstantiate(void **out, void *graph, unsigned long long flags) { return handle(out); }
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, void *kernel, int size, size_t shared,
                                                           unsigned flags) {
  return *blocks = 1, 0;
}
int cudaFuncGetAttributes(void *attributes, void *kernel) { return memset(attributes, 0, 64), 0; }
int cublasCreate_v2(void **out) { return handle(out); }
int cublasLtCreate(void **out) { return handle(out); }
int cublasGetMathMode(void *cublas, int *mode) { return *mode = 0, 0; }
const char *cublasGetStatusString(int status) { return "fake"; }
const char *cublasGetStatusName(int status) { return "fake"; }
void **__cudaRegisterFatBinary(void *binary) {
  void *out;
  return handle(&out), (void **)out;
}
