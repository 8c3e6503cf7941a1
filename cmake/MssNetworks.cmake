# The network families are the modules of methods/ above nn/torch in cmake/floors.txt. Each has a header entries.h with
# add_methods(Registry&), for the program, and add_networks(NetworkTable&), for the loadable module, and with LibTorch a
# target mss_methods_<family>_torch. The program's list of methods and the module read them here, so that a new family is
# a folder and a line of floors.txt: generated/methods/network_families.h includes the headers and defines
# MSS_NETWORK_FAMILIES(each) as each(openunmix) each(…).
set(MSSBENCH_NETWORK_FAMILIES "")
set(family_includes "")
set(family_names "")
foreach(module IN LISTS MSSBENCH_MODULES)
  if(module MATCHES "^methods/(.+)$" AND MSSBENCH_FLOOR_${module} GREATER "${MSSBENCH_FLOOR_nn/torch}")
    list(APPEND MSSBENCH_NETWORK_FAMILIES ${module})
    string(APPEND family_includes "#include \"${module}/entries.h\"\n")
    string(APPEND family_names " each(${CMAKE_MATCH_1})")
  endif()
endforeach()
file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/generated/methods/network_families.h" @ONLY CONTENT
"// Written by cmake/MssNetworks.cmake from cmake/floors.txt.
#pragma once

@family_includes@
#define MSS_NETWORK_FAMILIES(each)@family_names@
")

# Targets on LibTorch. One file that includes its headers takes the compiler half a minute, so there are few of them:
# every target here is compiled as one unity source, and all of it ends in one loadable module and one test program.
#
# mss_add_torch_module(NAME path [TARGET name] SOURCES … [DEPS …] [PRIVATE_DEPS …]): like mss_add_module, but a
#   static library that nothing outside the build tree uses: neither installed nor exported. TARGET is the target's name
#   where the folder has a LibTorch-free target too (mss_methods_openunmix_torch).
# mss_add_torch_tests(LABEL label SOURCES … [DEPS …]): like mss_add_tests, for the program mss_torch_tests.
function(mss_add_torch_module)
  cmake_parse_arguments(M "" "NAME;TARGET" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  mss_check_floors(${M_NAME} ${M_DEPS} ${M_PRIVATE_DEPS})
  string(REPLACE "/" "_" flat "${M_NAME}")
  set(target mss_${flat})
  if(M_TARGET)
    set(target ${M_TARGET})
  endif()
  add_library(${target} STATIC ${M_SOURCES})
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR})
  set_target_properties(${target} PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    UNITY_BUILD ON UNITY_BUILD_MODE BATCH UNITY_BUILD_BATCH_SIZE 0)
  mss_target_options(${target})
  mss_torch_options(${target})
  foreach(dep IN LISTS M_DEPS)
    mss_module_target("${dep}" dep_target)
    target_link_libraries(${target} PUBLIC ${dep_target})
  endforeach()
  foreach(dep IN LISTS M_PRIVATE_DEPS)
    mss_module_target("${dep}" dep_target)
    target_link_libraries(${target} PRIVATE ${dep_target})
  endforeach()
  target_link_libraries(${target} PUBLIC LibTorch::LibTorch)
endfunction()

# Layers hand their work to LibTorch's kernels; -O3 of its headers only costs time. at::parallel_for is a template of
# those headers that runs serially where OpenMP is off.
function(mss_torch_options target)
  mss_quick_to_compile(${target})
  target_link_libraries(${target} PRIVATE OpenMP::OpenMP_CXX)
endfunction()

# Where LibTorch lies when a program or module is run: beside the installed module, or where it was found.
function(mss_torch_rpath target)
  set_target_properties(${target} PROPERTIES BUILD_RPATH "${LibTorch_LIBRARY_DIR}"
    INSTALL_RPATH "$ORIGIN/libtorch/lib;${LibTorch_LIBRARY_DIR}")
endfunction()

function(mss_add_torch_tests)
  cmake_parse_arguments(T "" "LABEL" "SOURCES;DEPS" ${ARGN})
  set(object mss_torch_tests_${T_LABEL})
  add_library(${object} OBJECT ${T_SOURCES})
  target_include_directories(${object} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)
  target_compile_definitions(${object} PRIVATE MSSBENCH_TESTS_DIR="${PROJECT_SOURCE_DIR}/tests")
  set_target_properties(${object} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE BATCH UNITY_BUILD_BATCH_SIZE 0)
  mss_target_options(${object})
  mss_torch_options(${object})
  set(libraries Catch2::Catch2)
  foreach(dep IN LISTS T_DEPS)
    mss_module_target("${dep}" dep_target)
    list(APPEND libraries ${dep_target})
  endforeach()
  target_link_libraries(${object} PUBLIC ${libraries})
  set_property(GLOBAL APPEND PROPERTY MSSBENCH_TORCH_TEST_LABELS ${T_LABEL})
  set_property(GLOBAL APPEND PROPERTY MSSBENCH_TORCH_TEST_LIBRARIES ${libraries})
endfunction()
