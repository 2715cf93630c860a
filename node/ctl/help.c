/* --help and the man page, both from the table of commands. */
#include <string.h>

#include "node/ctl/ctl.h"

#define OPTION_WIDTH 20
#define COMMAND_WIDTH 40

static void print_left(struct ctl *ctl, const char *left, int width, const char *help)
{
    fprintf(ctl->out, "  %-*s %s\n", width, left, help);
}

static const char *option_left(struct ctl *ctl, const struct ctl_option *option)
{
    if (option->value == NULL) return option->name;
    return mn_arena_format(&ctl->arena, "%s %s", option->name, option->value);
}

static void print_options(struct ctl *ctl, const struct ctl_option *options)
{
    for (; options->name != NULL; options++)
        print_left(ctl, option_left(ctl, options), OPTION_WIDTH, options->help);
}

static const char *command_left(struct ctl *ctl, const struct ctl_command *command)
{
    return mn_arena_format(&ctl->arena, "%s%s%s", command->words, *command->args == '\0' ? "" : " ",
                           command->args);
}

static void help_all(struct ctl *ctl)
{
    fprintf(ctl->out, "meshctl: see and steer a mesh of MCP servers, through one of its nodes\n\n"
                      "usage: meshctl [OPTIONS] COMMAND [ARGUMENTS]\n\ncommands:\n");
    for (const struct ctl_command *command = ctl_commands; command->words != NULL; command++)
        print_left(ctl, command_left(ctl, command), COMMAND_WIDTH, command->help);
    fprintf(ctl->out, "\noptions:\n");
    print_options(ctl, ctl_global_options);
    fprintf(ctl->out,
            "\nenvironment: MESHNODE_NODE_DATA (--data), MESHCTL_SERVER (--server),\n"
            "MESHCTL_TOKEN_FILE (--token-file), NO_COLOR\n"
            "\nexit status: 0 done, 1 failed, 2 usage, 3 no node reachable, 4 not allowed,\n"
            "5 not found, 6 conflict, 7 timeout, 8 partial; of check: 0 OK, 1 WARNING,\n"
            "2 CRITICAL, 3 UNKNOWN\n");
}

/* [words] themselves, or words that go on after them. */
static bool begins_with(const char *command, const char *words)
{
    size_t size = strlen(words);
    return strncmp(command, words, size) == 0 && (command[size] == '\0' || command[size] == ' ');
}

void ctl_help(struct ctl *ctl, const char *words)
{
    const struct ctl_command *command = ctl_commands;
    const char *lead = "usage: ";

    while (words != NULL && command->words != NULL && !begins_with(command->words, words))
        command++;
    if (words == NULL || command->words == NULL) {
        help_all(ctl);
        return;
    }
    for (; command->words != NULL && begins_with(command->words, words); command++) {
        fprintf(ctl->out, "%smeshctl %s\n           %s\n", lead, command_left(ctl, command),
                command->help);
        print_options(ctl, command->options);
        lead = "       ";
    }
    fprintf(ctl->out, "\noptions of all commands: meshctl --help\n");
}

static void man_options(struct ctl *ctl, const struct ctl_option *options)
{
    for (; options->name != NULL; options++)
        fprintf(ctl->out, ".TP\n.B \\%s\n%s\n", option_left(ctl, options), options->help);
}

void ctl_man(struct ctl *ctl)
{
    fprintf(ctl->out, ".TH MESHCTL 1 \"\" \"meshnode %s\" \"User Commands\"\n", MN_VERSION);
    fprintf(ctl->out, ".SH NAME\nmeshctl \\- see and steer a mesh of MCP servers\n"
                      ".SH SYNOPSIS\n.B meshctl\n[OPTIONS] COMMAND [ARGUMENTS]\n.SH COMMANDS\n");
    for (const struct ctl_command *command = ctl_commands; command->words != NULL; command++) {
        fprintf(ctl->out, ".TP\n.B %s\n%s\n", command_left(ctl, command), command->help);
        if (command->options[0].name == NULL) continue;
        fprintf(ctl->out, ".RS\n");
        man_options(ctl, command->options);
        fprintf(ctl->out, ".RE\n");
    }
    fprintf(ctl->out, ".SH OPTIONS\n");
    man_options(ctl, ctl_global_options);
    fprintf(ctl->out,
            ".SH ENVIRONMENT\n"
            ".B MESHNODE_NODE_DATA\n(as \\-\\-data),\n.B MESHCTL_SERVER\n(\\-\\-server),\n"
            ".B MESHCTL_TOKEN_FILE\n(\\-\\-token\\-file),\n.B NO_COLOR\n(no colours).\n"
            ".SH EXIT STATUS\n0 done, 1 failed, 2 usage, 3 no node reachable, 4 not allowed, "
            "5 not found, 6 conflict, 7 timeout, 8 partial. Of check: 0 OK, 1 WARNING, "
            "2 CRITICAL, 3 UNKNOWN.\n"
            ".SH SEE ALSO\n.BR meshnode (1)\n");
}
