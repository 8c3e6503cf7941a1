# Writes OUTPUT (a header with MSS_NETWORK_STAMP) if its content changed: version, compiler, and a hash of every header
# whose objects cross the border between the program and the module of network methods. Run at every build.
set(text "")
foreach(folder core audio checkpoints nn methods training)
  file(GLOB headers "${SOURCE_DIR}/${folder}/*.h")
  list(SORT headers)
  foreach(header IN LISTS headers)
    file(SHA256 "${header}" digest)
    string(APPEND text "${digest}\n")
  endforeach()
endforeach()
string(SHA256 digest "${text}")
string(SUBSTRING "${digest}" 0 12 digest)
set(content "#define MSS_NETWORK_STAMP \"mssbench ${VERSION}, headers ${digest}, ${COMPILER}\"\n")
file(CONFIGURE OUTPUT "${OUTPUT}" CONTENT "${content}" @ONLY)  # leaves an equal file alone
