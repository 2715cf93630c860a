/* --help, the man page and completion scripts, all from the table of commands. */
#include <stdio.h>
#include <string.h>

#include "node/ctl/ctl.h"

static void print_options(const struct ctl_option *options)
{
    char left[64];

    for (; options->name != NULL; options++) {
        snprintf(left, sizeof left, "%s%s%s", options->name, options->value != NULL ? " " : "",
                 options->value != NULL ? options->value : "");
        printf("  %-18s %s\n", left, options->help);
    }
}

static void help_all(void)
{
    char left[96];

    printf("meshctl: see and steer a mesh of MCP servers, through one of its nodes\n\n"
           "usage: meshctl [OPTIONS] COMMAND [ARGUMENTS]\n\ncommands:\n");
    for (const struct ctl_command *command = ctl_commands; command->words != NULL; command++) {
        snprintf(left, sizeof left, "%s %s", command->words, command->args);
        printf("  %-42s %s\n", left, command->help);
    }
    printf("\noptions:\n");
    print_options(ctl_global_options);
    printf("\nexit status: 0 done, 1 failed, 2 usage, 3 no node reachable, 4 not allowed,\n"
           "5 not found, 6 conflict, 7 timeout, 8 partial\n");
}

void ctl_help(const struct ctl_command *command)
{
    if (command == NULL) {
        help_all();
        return;
    }
    printf("usage: meshctl %s %s\n\n%s\n", command->words, command->args, command->help);
    if (command->options[0].name != NULL) {
        printf("\noptions:\n");
        print_options(command->options);
    }
    printf("\nsee `meshctl --help` for options of all commands\n");
}

static void man_options(const struct ctl_option *options)
{
    for (; options->name != NULL; options++)
        printf(".TP\n.B \\%s%s%s\n%s\n", options->name, options->value != NULL ? " " : "",
               options->value != NULL ? options->value : "", options->help);
}

void ctl_man(void)
{
    printf(".TH MESHCTL 1 \"\" \"meshnode %s\" \"User Commands\"\n", MN_VERSION);
    printf(".SH NAME\nmeshctl \\- see and steer a mesh of MCP servers\n"
           ".SH SYNOPSIS\n.B meshctl\n[OPTIONS] COMMAND [ARGUMENTS]\n.SH COMMANDS\n");
    for (const struct ctl_command *command = ctl_commands; command->words != NULL; command++) {
        printf(".TP\n.B %s %s\n%s\n", command->words, command->args, command->help);
        if (command->options[0].name == NULL) continue;
        printf(".RS\n");
        man_options(command->options);
        printf(".RE\n");
    }
    printf(".SH OPTIONS\n");
    man_options(ctl_global_options);
    printf(".SH EXIT STATUS\n0 done, 1 failed, 2 usage, 3 no node reachable, 4 not allowed, "
           "5 not found, 6 conflict, 7 timeout, 8 partial.\n"
           ".SH SEE ALSO\n.BR meshnode (1)\n");
}

/* Words that may follow the first word [first]; NULL: the first words themselves. */
static void print_words(const char *first)
{
    const char *last = "";
    size_t last_size = 0;

    for (const struct ctl_command *command = ctl_commands; command->words != NULL; command++) {
        size_t size = strcspn(command->words, " ");
        if (first == NULL) {
            if (size == last_size && strncmp(last, command->words, size) == 0) continue;
            printf("%.*s ", (int)size, command->words);
            last = command->words;
            last_size = size;
        } else if (strlen(first) == size && strncmp(first, command->words, size) == 0) {
            if (command->words[size] != '\0')
                printf("%s ", command->words + size + 1);
            else if (strchr(command->args, '|') != NULL)
                for (const char *at = command->args; *at != '\0'; at++)
                    putchar(*at == '|' ? ' ' : *at);
        }
    }
}

static void completion_bash(void)
{
    const char *last = "";

    printf("# bash completion for meshctl; load it with: source <(meshctl completion bash)\n"
           "_meshctl() {\n  local word=${COMP_WORDS[COMP_CWORD]} first=${COMP_WORDS[1]} words\n"
           "  case $word in -*) words=\"");
    for (const struct ctl_option *option = ctl_global_options; option->name != NULL; option++)
        printf("%s ", option->name);
    printf("\" ;; *)\n    if [ \"$COMP_CWORD\" -eq 1 ]; then words=\"");
    print_words(NULL);
    printf("\"\n    else case $first in\n");
    for (const struct ctl_command *command = ctl_commands; command->words != NULL; command++) {
        char first[32];
        snprintf(first, sizeof first, "%.*s", (int)strcspn(command->words, " "), command->words);
        if (strncmp(last, command->words, strlen(first)) == 0 && *last != '\0') continue;
        printf("      %s) words=\"", first);
        print_words(first);
        printf("\" ;;\n");
        last = command->words;
    }
    printf("    esac; fi ;;\n  esac\n"
           "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n}\n"
           "complete -F _meshctl meshctl\n");
}

static void completion_fish(void)
{
    printf("# fish completion for meshctl; load it with: meshctl completion fish | source\n"
           "complete -c meshctl -f\n");
    for (const struct ctl_command *command = ctl_commands; command->words != NULL; command++) {
        const char *space = strchr(command->words, ' ');
        if (space == NULL)
            printf("complete -c meshctl -n __fish_use_subcommand -a %s -d '%s'\n", command->words,
                   command->help);
        else
            printf("complete -c meshctl -n '__fish_seen_subcommand_from %.*s' -a %s -d '%s'\n",
                   (int)(space - command->words), command->words, space + 1, command->help);
    }
    for (const struct ctl_option *option = ctl_global_options; option->name != NULL; option++)
        printf("complete -c meshctl -l %s%s\n", option->name + 2,
               option->value != NULL ? " -r" : "");
}

int ctl_completion(struct ctl *ctl)
{
    const char *shell = ctl->args[0];

    if (strcmp(shell, "bash") == 0) {
        completion_bash();
    } else if (strcmp(shell, "zsh") == 0) {
        printf("# zsh completion for meshctl; load it with: source <(meshctl completion zsh)\n"
               "autoload -U +X bashcompinit && bashcompinit\n");
        completion_bash();
    } else if (strcmp(shell, "fish") == 0) {
        completion_fish();
    } else {
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl completion bash",
                         "no completion for %s: bash, zsh or fish", shell);
    }
    return CTL_OK;
}
