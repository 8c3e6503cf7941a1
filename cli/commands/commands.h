// One function per command, each in its own file.
#pragma once

#include "cli/command.h"

namespace mss::cli {

Command separate_command();
Command run_command();
Command evaluate_command();
Command report_command();
Command compare_command();
Command corpus_command();
Command plot_command();
Command methods_command();
Command datasets_command();
Command synth_command();
Command merge_command();
Command train_command();
Command shift_command();
Command import_command();
Command export_command();
Command checkpoint_command();
Command demo_command();
Command config_command();
Command completion_command();
Command man_command();
Command help_command();

}  // namespace mss::cli
