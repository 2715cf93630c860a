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

/* The [size] first bytes of the words of [command] and no more, then a blank: what is behind? NULL:
 * it does not begin so. */
static const char *words_behind(const struct ctl_command *command, const char *before, size_t size)
{
    if (strncmp(command->words, before, size) != 0 || command->words[size] != ' ') return NULL;
    return command->words + size + 1;
}

/* Is [command] the first one of the table that has its next word after those? */
static bool is_new_next(const struct ctl_command *command, const char *before, size_t size)
{
    const char *own = words_behind(command, before, size);

    for (const struct ctl_command *other = ctl_commands; other != command; other++) {
        const char *next = words_behind(other, before, size);
        if (next != NULL && strcspn(next, " ") == strcspn(own, " ") &&
            strncmp(next, own, strcspn(own, " ")) == 0)
            return false;
    }
    return true;
}

/* What may follow the words [before]: next words, choices. */
static void print_following(struct ctl *ctl, const char *before, size_t size)
{
    for (const struct ctl_command *command = ctl_commands; command->words != NULL; command++) {
        const char *next = words_behind(command, before, size);
        if (next != NULL && is_new_next(command, before, size))
            fprintf(ctl->out, "%.*s ", (int)strcspn(next, " "), next);
        if (strncmp(command->words, before, size) == 0 && command->words[size] == '\0')
            print_choices(ctl, command->args);
    }
}

/* Options of the commands that begin with the words [before]. */
static void print_options(struct ctl *ctl, const char *before, size_t size)
{
    for (const struct ctl_command *command = ctl_commands; command->words != NULL; command++) {
        if (strncmp(command->words, before, size) != 0) continue;
        if (command->words[size] != ' ' && command->words[size] != '\0') continue;
        for (const struct ctl_option *option = command->options; option->name != NULL; option++)
            fprintf(ctl->out, "%s ", option->name);
    }
}

/* ---- the shells ---- */

/* Do the first [size] bytes of its words stand at this place of the table for the first time? */
static bool is_new_prefix(const struct ctl_command *command, size_t size)
{
    for (const struct ctl_command *other = ctl_commands; other != command; other++)
        if (strncmp(other->words, command->words, size) == 0 &&
            (other->words[size] == ' ' || other->words[size] == '\0'))
            return false;
    return true;
}

/* Bytes of the words of [command] without the last of the first [size] bytes; 0: that is all. */
static size_t shorter(const struct ctl_command *command, size_t size)
{
    while (size > 0 && command->words[--size] != ' ')
        continue;
    return size;
}

/* One case for each row of words, which something may follow at once. */
static void complete_bash_words(struct ctl *ctl)
{
    for (const struct ctl_command *command = ctl_commands; command->words != NULL; command++)
        for (size_t size = strlen(command->words); size > 0; size = shorter(command, size)) {
            if (!is_new_prefix(command, size)) continue;
            fprintf(ctl->out, "    \"%.*s \") words=\"", (int)size, command->words);
            print_following(ctl, command->words, size);
            fprintf(ctl->out, "\" ;;\n");
        }
}

/* The same for options, which may stand anywhere behind: the longest rows of words first. */
static void complete_bash_options(struct ctl *ctl)
{
    const struct ctl_command *command = ctl_commands;

    while (command->words != NULL)
        command++;
    while (command-- != ctl_commands)
        for (size_t size = strlen(command->words); size > 0; size = shorter(command, size)) {
            if (!is_new_prefix(command, size)) continue;
            fprintf(ctl->out, "    \"%.*s \"*) options+=\"", (int)size, command->words);
            print_options(ctl, command->words, size);
            fprintf(ctl->out, "\" ;;\n");
        }
}

/* Is it among the options of a command before [end]? */
static bool is_known_option(const struct ctl_command *end, const char *name)
{
    for (const struct ctl_command *command = ctl_commands; command != end; command++)
        for (const struct ctl_option *option = command->options; option->name != NULL; option++)
            if (option->value != NULL && strcmp(option->name, name) == 0) return true;
    return false;
}

/* Options behind which a word is their value, as a pattern of the shell. */
static void complete_bash_valued(struct ctl *ctl)
{
    fprintf(ctl->out, "-o");
    for (const struct ctl_option *option = ctl_global_options; option->name != NULL; option++)
        if (option->value != NULL) fprintf(ctl->out, "|%s", option->name);
    for (const struct ctl_command *command = ctl_commands; command->words != NULL; command++)
        for (const struct ctl_option *option = command->options; option->name != NULL; option++)
            if (option->value != NULL && !is_known_option(command, option->name))
                fprintf(ctl->out, "|%s", option->name);
}

/* Also for zsh, which has no mapfile; no word has a blank or a star. A value with = or : comes as
 * several words, such as --data = DIR or http : //HOST. */
static void complete_bash(struct ctl *ctl)
{
    fprintf(ctl->out, "_meshctl() {\n"
                      "  local word=${COMP_WORDS[COMP_CWORD]} before= words= options one of=\n"
                      "  for one in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
                      "    case $one in =|:) of=$one; continue ;; esac\n"
                      "    if [ -n \"$of\" ]; then of=; continue; fi\n"
                      "    case $one in ");
    complete_bash_valued(ctl);
    fprintf(ctl->out, ") of=$one ;; -*) ;; *) before=\"$before$one \" ;; esac\n"
                      "  done\n"
                      "  if [ -n \"$of\" ]; then COMPREPLY=(); return; fi\n"
                      "  options=\"");
    for (const struct ctl_option *option = ctl_global_options; option->name != NULL; option++)
        fprintf(ctl->out, "%s ", option->name);
    fprintf(ctl->out, "\"\n  case $before in\n    \"\") words=\"");
    print_firsts(ctl);
    fprintf(ctl->out, "\" ;;\n");
    complete_bash_words(ctl);
    fprintf(ctl->out, "  esac\n  case $before in\n");
    complete_bash_options(ctl);
    fprintf(ctl->out, "  esac\n"
                      "  case $word in -*) words=$options ;; esac\n"
                      "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\n"
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

/* When the words [before] stand there. */
static const char *fish_condition(struct ctl *ctl, const char *before, size_t size)
{
    const char *condition = " -n '", *at = before, *end = before + size;

    while (at < end) {
        size_t own = strcspn(at, " ");
        condition = mn_arena_format(&ctl->arena, "%s%s__fish_seen_subcommand_from %.*s", condition,
                                    at == before ? "" : "; and ", (int)own, at);
        at += own + (at + own < end);
    }
    return mn_arena_format(&ctl->arena, "%s'", condition);
}

static void complete_fish_command(struct ctl *ctl, const struct ctl_command *command)
{
    const char *last = strrchr(command->words, ' ');
    size_t before = last == NULL ? 0 : (size_t)(last - command->words);
    char first[FIRST_SIZE];

    first_of(command, first);
    if (is_new_first(command)) {
        fprintf(ctl->out, "complete -c meshctl -n __fish_use_subcommand -a %s -d ", first);
        print_quoted(ctl, last == NULL ? command->help : "");
    }
    if (last != NULL) {
        fprintf(ctl->out, "complete -c meshctl%s -a %s -d ",
                fish_condition(ctl, command->words, before), last + 1);
        print_quoted(ctl, command->help);
    }
    if (strchr(command->args, '|') != NULL) {
        fprintf(ctl->out, "complete -c meshctl%s -a '",
                fish_condition(ctl, command->words, strlen(command->words)));
        print_choices(ctl, command->args);
        fprintf(ctl->out, "'\n");
    }
    complete_fish_options(ctl, fish_condition(ctl, command->words, strlen(command->words)),
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
