/* Completion scripts for shells, from the table of commands. */
#include <string.h>

#include "node/ctl/ctl.h"

#define FIRST_SIZE 32

/* ---- what may come where ---- */

/* The first word of a command. */
static const char *first_of(const struct ctl_command *command, char ret[FIRST_SIZE])
{
    snprintf(ret, FIRST_SIZE, "%.*s", (int)strcspn(command->words, " "), command->words);
    return ret;
}

/* Commands of one first word stand together in the table. */
static bool is_new_first(const struct ctl_command *command)
{
    char own[FIRST_SIZE], before[FIRST_SIZE];

    return command == ctl_commands ||
           strcmp(first_of(command, own), first_of(command - 1, before)) != 0;
}

static void print_firsts(struct ctl *ctl)
{
    char first[FIRST_SIZE];

    for (const struct ctl_command *command = ctl_commands; command->words != NULL; command++)
        if (is_new_first(command)) fprintf(ctl->out, "%s ", first_of(command, first));
}

/* "a|b|c" as words; arguments that are in capitals are for people. */
static void print_choices(struct ctl *ctl, const char *args)
{
    if (strchr(args, '|') == NULL || (*args >= 'A' && *args <= 'Z')) return;
    for (; *args != '\0'; args++)
        putc(*args == '|' ? ' ' : *args, ctl->out);
    putc(' ', ctl->out);
}

/* What may follow the first word of [command]: second words, choices. */
static void print_seconds(struct ctl *ctl, const struct ctl_command *command)
{
    do {
        size_t size = strcspn(command->words, " ");
        if (command->words[size] != '\0')
            fprintf(ctl->out, "%s ", command->words + size + 1);
        else
            print_choices(ctl, command->args);
        command++;
    } while (command->words != NULL && !is_new_first(command));
}

/* Options of all commands with that first word. */
static void print_options(struct ctl *ctl, const struct ctl_command *command)
{
    do {
        for (const struct ctl_option *option = command->options; option->name != NULL; option++)
            fprintf(ctl->out, "%s ", option->name);
        command++;
    } while (command->words != NULL && !is_new_first(command));
}

/* ---- the shells ---- */

static void complete_bash(struct ctl *ctl)
{
    char first[FIRST_SIZE];

    fprintf(ctl->out,
            "_meshctl() {\n"
            "  local word=${COMP_WORDS[COMP_CWORD]} first=${COMP_WORDS[1]} words options\n"
            "  options=\"");
    for (const struct ctl_option *option = ctl_global_options; option->name != NULL; option++)
        fprintf(ctl->out, "%s ", option->name);
    fprintf(ctl->out, "\"\n  if [ \"$COMP_CWORD\" -eq 1 ]; then words=\"");
    print_firsts(ctl);
    fprintf(ctl->out, "\"\n  else case $first in\n");
    for (const struct ctl_command *command = ctl_commands; command->words != NULL; command++) {
        if (!is_new_first(command)) continue;
        fprintf(ctl->out, "    %s) words=\"", first_of(command, first));
        print_seconds(ctl, command);
        fprintf(ctl->out, "\" options+=\"");
        print_options(ctl, command);
        fprintf(ctl->out, "\" ;;\n");
    }
    fprintf(ctl->out, "  esac; fi\n"
                      "  case $word in -*) words=$options ;; esac\n"
                      "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n}\n"
                      "complete -F _meshctl meshctl\n");
}

/* In single quotes, as fish has them. */
static void print_quoted(struct ctl *ctl, const char *text)
{
    putc('\'', ctl->out);
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\') putc('\\', ctl->out);
        putc(*text, ctl->out);
    }
    fprintf(ctl->out, "'\n");
}

static void complete_fish_options(struct ctl *ctl, const char *condition,
                                  const struct ctl_option *options)
{
    for (; options->name != NULL; options++) {
        fprintf(ctl->out, "complete -c meshctl%s -l %s%s -d ", condition, options->name + 2,
                options->value != NULL ? " -r" : "");
        print_quoted(ctl, options->help);
    }
}

static void complete_fish_command(struct ctl *ctl, const struct ctl_command *command)
{
    const char *second = strchr(command->words, ' ');
    char first[FIRST_SIZE];

    first_of(command, first);
    if (is_new_first(command)) {
        fprintf(ctl->out, "complete -c meshctl -n __fish_use_subcommand -a %s -d ", first);
        print_quoted(ctl, second == NULL ? command->help : "");
    }
    if (second != NULL) {
        fprintf(ctl->out, "complete -c meshctl -n '__fish_seen_subcommand_from %s' -a %s -d ",
                first, second + 1);
        print_quoted(ctl, command->help);
    } else if (strchr(command->args, '|') != NULL) {
        fprintf(ctl->out, "complete -c meshctl -n '__fish_seen_subcommand_from %s' -a '", first);
        print_choices(ctl, command->args);
        fprintf(ctl->out, "'\n");
    }
    complete_fish_options(
        ctl, mn_arena_format(&ctl->arena, " -n '__fish_seen_subcommand_from %s'", first),
        command->options);
}

static void complete_fish(struct ctl *ctl)
{
    fprintf(ctl->out, "complete -c meshctl -f\n");
    for (const struct ctl_command *command = ctl_commands; command->words != NULL; command++)
        complete_fish_command(ctl, command);
    complete_fish_options(ctl, "", ctl_global_options);
}

int ctl_completion(struct ctl *ctl)
{
    const char *shell = ctl->args[0];

    if (strcmp(shell, "bash") == 0) {
        fprintf(ctl->out, "# source <(meshctl completion bash)\n");
        complete_bash(ctl);
    } else if (strcmp(shell, "zsh") == 0) {
        fprintf(ctl->out, "# source <(meshctl completion zsh)\n"
                          "autoload -U +X bashcompinit && bashcompinit\n");
        complete_bash(ctl);
    } else if (strcmp(shell, "fish") == 0) {
        fprintf(ctl->out, "# meshctl completion fish | source\n");
        complete_fish(ctl);
    } else {
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl completion bash",
                         "no completion for %s: bash, zsh or fish", shell);
    }
    return CTL_OK;
}
