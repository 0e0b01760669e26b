# Every third party, one target each: third_party::NAME. Who may link which is in the root README and tested.

execute_process(COMMAND ${CMAKE_SOURCE_DIR}/ops/setup --where OUTPUT_VARIABLE WEFT_CACHE
                OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
if(WEFT_CUDA)
  execute_process(COMMAND ${CMAKE_SOURCE_DIR}/ops/setup --cuda --where OUTPUT_VARIABLE WEFT_CACHE
                  OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
endif()

function(third_party name)
  add_library(third_party_${name} INTERFACE)
  add_library(third_party::${name} ALIAS third_party_${name})
  target_link_libraries(third_party_${name} INTERFACE ${ARGN})
endfunction()

find_package(Threads REQUIRED)
find_package(Protobuf REQUIRED)
find_package(absl REQUIRED)
find_package(OpenSSL 3 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(simdjson REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(spdlog REQUIRED)
find_path(HIGHWAY_INCLUDE hwy/highway.h REQUIRED)
find_library(HIGHWAY_LIBRARY hwy REQUIRED)

third_party(protobuf protobuf::libprotobuf Threads::Threads)
third_party(absl absl::status absl::statusor absl::strings absl::str_format absl::time absl::span)
third_party(openssl OpenSSL::Crypto)
third_party(tls OpenSSL::SSL)
third_party(zlib ZLIB::ZLIB)
third_party(simdjson simdjson::simdjson)
third_party(json nlohmann_json::nlohmann_json)
third_party(cli11 CLI11::CLI11)
third_party(spdlog spdlog::spdlog)
third_party(highway ${HIGHWAY_LIBRARY})
target_include_directories(third_party_highway SYSTEM INTERFACE ${HIGHWAY_INCLUDE})

if(NOT WEFT_TRAINING_ONLY)
  find_package(gRPC REQUIRED)
  find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
  find_library(ROCKSDB_LIBRARY rocksdb REQUIRED)
  third_party(grpc gRPC::grpc++)
  third_party(rocksdb ${ROCKSDB_LIBRARY})
endif()

# LibTorch from the wheel. Its include folder carries fmt and protobuf headers of other versions, so it is searched
# last (-idirafter), and find_package(Torch), which puts it first, is not used.
set(TORCH_ROOT "" CACHE PATH "The torch package's folder; empty: the one that ops/setup installed")
if(NOT TORCH_ROOT)
  file(GLOB TORCH_FOUND ${WEFT_CACHE}/python/lib/python3*/site-packages/torch)
else()
  set(TORCH_FOUND ${TORCH_ROOT})
endif()
if(NOT EXISTS "${TORCH_FOUND}/include/ATen/ATen.h")
  message(FATAL_ERROR "LibTorch is not in '${WEFT_CACHE}': run ops/setup, or give -DTORCH_ROOT=<site-packages/torch>.")
endif()
third_party(torch "-L${TORCH_FOUND}/lib" "-Wl,-rpath,${TORCH_FOUND}/lib" torch torch_cpu c10)
target_compile_options(third_party_torch INTERFACE
  "SHELL:-idirafter ${TORCH_FOUND}/include" "SHELL:-idirafter ${TORCH_FOUND}/include/torch/csrc/api/include")
if(WEFT_CUDA)
  find_package(CUDAToolkit REQUIRED)
  target_link_libraries(third_party_torch INTERFACE -Wl,--no-as-needed torch_cuda c10_cuda -Wl,--as-needed CUDA::cudart)
  target_include_directories(third_party_torch SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS})
endif()

# SentencePiece as ops/setup built it: Debian's own bundles another protobuf and aborts in a process that has ours.
set(SENTENCEPIECE_ROOT ${WEFT_CACHE}/sentencepiece)
if(NOT EXISTS ${SENTENCEPIECE_ROOT}/lib/libsentencepiece.a)
  message(FATAL_ERROR "SentencePiece is not in '${WEFT_CACHE}': run ops/setup.")
endif()
third_party(sentencepiece ${SENTENCEPIECE_ROOT}/lib/libsentencepiece_train.a
            ${SENTENCEPIECE_ROOT}/lib/libsentencepiece.a protobuf::libprotobuf)
target_include_directories(third_party_sentencepiece SYSTEM INTERFACE ${SENTENCEPIECE_ROOT}/include)

if(WEFT_TESTS)
  find_package(GTest REQUIRED)
  find_package(benchmark REQUIRED)
  third_party(gtest GTest::gmock GTest::gtest_main)
  third_party(benchmark benchmark::benchmark)
endif()
