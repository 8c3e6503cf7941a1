# LibTorch as a plain C++ library: the folder of PyTorch's Python package (or of the libtorch archive) with its headers
# and shared libraries. The package file that comes with it (TorchConfig.cmake) is not used, because it demands a whole
# CUDA toolkit even where none of it is called.
#
# Search order: LIBTORCH_ROOT (CMake or environment variable; when it is set, nothing else is looked at), a torch that
# python3 can import, the cache of ./run (${XDG_CACHE_HOME:-~/.cache}/mssbench/libtorch-*, newest first). A root is the
# folder with include/ and lib/, or the folder above it with torch/.
#
# Sets LibTorch_FOUND, LibTorch_VERSION, LibTorch_ROOT_DIR, LibTorch_LIBRARY_DIR, LibTorch_HAS_CUDA, LibTorch_PROBLEM
# (why nothing was found) and defines LibTorch::LibTorch. With MSSBENCH_CUDA the CUDA half is linked too.
set(LibTorch_FOUND FALSE)
set(LibTorch_HAS_CUDA FALSE)
set(LibTorch_PROBLEM "")
if(NOT DEFINED LibTorch_FIND_VERSION OR LibTorch_FIND_VERSION STREQUAL "")
  set(LibTorch_FIND_VERSION 2.7)
endif()

set(libtorch_roots "")
set(libtorch_explicit "${LIBTORCH_ROOT}")
if(NOT libtorch_explicit AND DEFINED ENV{LIBTORCH_ROOT})
  set(libtorch_explicit "$ENV{LIBTORCH_ROOT}")
endif()
if(libtorch_explicit)
  list(APPEND libtorch_roots "${libtorch_explicit}")
else()
  find_program(MSSBENCH_PYTHON3 python3)
  mark_as_advanced(MSSBENCH_PYTHON3)
  if(MSSBENCH_PYTHON3)
    # Finding the package does not import it, which would take seconds.
    execute_process(COMMAND ${MSSBENCH_PYTHON3} -c
      "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
      OUTPUT_VARIABLE libtorch_python OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE libtorch_failed)
    if(libtorch_failed EQUAL 0 AND libtorch_python)
      list(APPEND libtorch_roots "${libtorch_python}")
    endif()
  endif()
  if(DEFINED ENV{XDG_CACHE_HOME} AND NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
    set(libtorch_cache "$ENV{XDG_CACHE_HOME}/mssbench")
  else()
    set(libtorch_cache "$ENV{HOME}/.cache/mssbench")
  endif()
  file(GLOB libtorch_cached "${libtorch_cache}/libtorch-[0-9]*")
  list(FILTER libtorch_cached EXCLUDE REGEX "\\.part[^/]*$")
  list(SORT libtorch_cached COMPARE NATURAL ORDER DESCENDING)
  list(APPEND libtorch_roots ${libtorch_cached})
endif()

set(libtorch_rejected "")
foreach(root IN LISTS libtorch_roots)
  foreach(folder IN ITEMS "${root}" "${root}/torch")
    if(LibTorch_FOUND OR NOT EXISTS "${folder}/include/ATen/ATen.h" OR NOT EXISTS "${folder}/lib/libtorch_cpu.so")
      continue()
    endif()
    set(version "")
    foreach(header torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
      if(version STREQUAL "" AND EXISTS "${folder}/include/${header}")
        file(READ "${folder}/include/${header}" text)
        if(text MATCHES "#define TORCH_VERSION[ \\\\\r\n]+\"([0-9]+\\.[0-9]+\\.[0-9]+)")
          set(version "${CMAKE_MATCH_1}")
        endif()
      endif()
    endforeach()
    if(version STREQUAL "")
      list(APPEND libtorch_rejected "${folder}: its version is not to be found")
    elseif(version VERSION_LESS LibTorch_FIND_VERSION)
      list(APPEND libtorch_rejected "${folder}: version ${version} is older than ${LibTorch_FIND_VERSION}")
    else()
      set(old_abi FALSE)
      if(EXISTS "${folder}/share/cmake/Torch/TorchConfig.cmake")
        file(READ "${folder}/share/cmake/Torch/TorchConfig.cmake" text)
        if(text MATCHES "_GLIBCXX_USE_CXX11_ABI=0")
          set(old_abi TRUE)
        endif()
      endif()
      if(old_abi)
        list(APPEND libtorch_rejected "${folder}: built with the old ABI of libstdc++")
      else()
        set(LibTorch_FOUND TRUE)
        set(LibTorch_VERSION "${version}")
        get_filename_component(LibTorch_ROOT_DIR "${folder}" REALPATH)
        set(LibTorch_LIBRARY_DIR "${LibTorch_ROOT_DIR}/lib")
      endif()
    endif()
  endforeach()
endforeach()

if(NOT LibTorch_FOUND)
  if(libtorch_rejected)
    list(JOIN libtorch_rejected "; " LibTorch_PROBLEM)
  elseif(libtorch_explicit)
    set(LibTorch_PROBLEM "LIBTORCH_ROOT=${libtorch_explicit} has no include/ATen/ATen.h and lib/libtorch_cpu.so")
  else()
    set(LibTorch_PROBLEM "LIBTORCH_ROOT is not set, python3 has no torch, ${libtorch_cache} holds no libtorch-*")
  endif()
  if(LibTorch_FIND_REQUIRED OR libtorch_explicit)
    message(FATAL_ERROR "LibTorch ${LibTorch_FIND_VERSION} or newer was not found: ${LibTorch_PROBLEM}. "
      "Set LIBTORCH_ROOT to the folder of PyTorch's Python package (the one with include/ and lib/), or let ./run build "
      "fetch it, or build without networks: -DMSSBENCH_TORCH=OFF")
  endif()
  return()
endif()
if(EXISTS "${LibTorch_LIBRARY_DIR}/libtorch_cuda.so" AND EXISTS "${LibTorch_LIBRARY_DIR}/libc10_cuda.so")
  set(LibTorch_HAS_CUDA TRUE)
endif()
if(MSSBENCH_CUDA AND NOT LibTorch_HAS_CUDA)
  message(FATAL_ERROR "MSSBENCH_CUDA=ON: LibTorch ${LibTorch_VERSION} in ${LibTorch_ROOT_DIR} has no libtorch_cuda.so")
endif()

if(NOT TARGET LibTorch::LibTorch)
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  # Imported targets' headers count as system headers: their warnings are not ours.
  set_target_properties(LibTorch::LibTorch PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${LibTorch_ROOT_DIR}/include;${LibTorch_ROOT_DIR}/include/torch/csrc/api/include"
    INTERFACE_COMPILE_DEFINITIONS "_GLIBCXX_USE_CXX11_ABI=1")
  set(libtorch_files "${LibTorch_LIBRARY_DIR}/libtorch_cpu.so,${LibTorch_LIBRARY_DIR}/libc10.so")
  if(MSSBENCH_CUDA)
    # Nothing refers to the CUDA half by symbol; it registers itself when it is loaded.
    string(APPEND libtorch_files ",${LibTorch_LIBRARY_DIR}/libtorch_cuda.so,${LibTorch_LIBRARY_DIR}/libc10_cuda.so")
  endif()
  # What those libraries need in turn (CUDA's runtime, cuBLAS, …) is found when they are loaded, by their own run path,
  # and need not be on the machine that links.
  set_property(TARGET LibTorch::LibTorch PROPERTY INTERFACE_LINK_LIBRARIES
    "-Wl,--push-state,--no-as-needed,${libtorch_files},--pop-state")
  set_property(TARGET LibTorch::LibTorch PROPERTY INTERFACE_LINK_OPTIONS
    "-Wl,--unresolved-symbols=ignore-in-shared-libs")
endif()
