#include "harness/cli/invocation.h"

int main(int argc, char** argv) { return mss::harness::cli::run_program(argc, argv); }
