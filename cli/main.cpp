#include "cli/invocation.h"

int main(int argc, char** argv) { return mss::cli::run_program(argc, argv); }
