# What every target shares: warnings, sanitizers, libraries, and the two functions that the folders
# use, mn_library() and mn_test().

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

# mn_pkg(name pkg): IMPORTED target mn::name for a Debian package's .pc file.
function(mn_pkg name pkg)
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET GLOBAL ${pkg})
  add_library(mn::${name} ALIAS PkgConfig::${name})
endfunction()

mn_pkg(sodium libsodium)
mn_pkg(protobufc libprotobuf-c)
mn_pkg(uv libuv)
mn_pkg(mhd libmicrohttpd)
mn_pkg(curl libcurl)
mn_pkg(simdjson simdjson)
mn_pkg(yaml yaml-0.1)
mn_pkg(check check)

# Debian's nng and RocksDB come without a .pc file.
find_library(NNG_LIBRARY nng REQUIRED)
add_library(mn::nng UNKNOWN IMPORTED GLOBAL)
set_target_properties(mn::nng PROPERTIES IMPORTED_LOCATION ${NNG_LIBRARY})
find_library(ROCKSDB_LIBRARY rocksdb REQUIRED)
add_library(mn::rocksdb UNKNOWN IMPORTED GLOBAL)
set_target_properties(mn::rocksdb PROPERTIES IMPORTED_LOCATION ${ROCKSDB_LIBRARY})

add_library(mn_options INTERFACE)
target_include_directories(mn_options INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
target_compile_definitions(mn_options INTERFACE _GNU_SOURCE MN_VERSION="${PROJECT_VERSION}")
target_compile_options(mn_options INTERFACE
  -fno-strict-aliasing -fstack-protector-strong
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wcast-qual -Wvla -Wundef -Wformat=2
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes -Wswitch-enum>)
if(MESHNODE_SANITIZE)
  target_compile_options(mn_options INTERFACE -fsanitize=${MESHNODE_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(mn_options INTERFACE -fsanitize=${MESHNODE_SANITIZE})
endif()

# mn_library(name SOURCES... [LIBS libraries...] [PROTOS files.proto...])
# A static library of this folder; sources are listed by hand.
function(mn_library name)
  cmake_parse_arguments(A "" "" "LIBS;PROTOS" ${ARGN})
  add_library(${name} STATIC ${A_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PUBLIC mn_options ${A_LIBS})
  foreach(proto ${A_PROTOS})
    mn_add_proto(${name} ${proto})
  endforeach()
endfunction()

# Compiles a .proto of the folder with protobuf-c; include it as "proto/x.pb-c.h". The generated
# code is third-party code to us: system headers, no warnings.
find_program(PROTOC_C protoc-c REQUIRED)
function(mn_add_proto target proto)
  get_filename_component(base ${proto} NAME_WE)
  file(RELATIVE_PATH dir ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  set(out ${CMAKE_BINARY_DIR}/pb/${dir}/${base}.pb-c)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/pb/${dir})
  add_custom_command(OUTPUT ${out}.c ${out}.h
    COMMAND ${PROTOC_C} --c_out=${CMAKE_BINARY_DIR}/pb --proto_path=${CMAKE_SOURCE_DIR}
            ${CMAKE_CURRENT_SOURCE_DIR}/${proto}
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${proto} VERBATIM)
  target_sources(${target} PRIVATE ${out}.c ${out}.h)
  set_source_files_properties(${out}.c PROPERTIES COMPILE_OPTIONS -w)
  target_include_directories(${target} SYSTEM PUBLIC ${CMAKE_BINARY_DIR}/pb)
  target_link_libraries(${target} PUBLIC mn::protobufc)
endfunction()

# mn_test(name SOURCES... [LIBS libraries...] [ARGS args...] [LABELS l...] [TIMEOUT seconds])
# One executable, one ctest entry. The default limit is generous: no test asserts real time.
function(mn_test name)
  cmake_parse_arguments(A "" "TIMEOUT" "LIBS;ARGS;LABELS" ${ARGN})
  add_executable(${name} ${A_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE ${A_LIBS} mn::check Threads::Threads)
  add_test(NAME ${name} COMMAND ${name} ${A_ARGS} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${A_TIMEOUT} LABELS "${A_LABELS}")
endfunction()

# mn_fuzz(name SOURCE [LIBS libraries...]): a libFuzzer target under the `fuzz` preset; everywhere
# else the same file, linked to a plain main() that replays its corpus, is a test.
function(mn_fuzz name source)
  cmake_parse_arguments(A "" "" "LIBS" ${ARGN})
  if(MESHNODE_FUZZ)
    add_executable(${name} ${source})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${name} ${source} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c)
    add_test(NAME ${name}_corpus
             COMMAND ${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
    set_tests_properties(${name}_corpus PROPERTIES TIMEOUT 120 LABELS fuzz)
  endif()
  target_link_libraries(${name} PRIVATE ${A_LIBS})
endfunction()
