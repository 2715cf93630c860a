/* The command line: global options anywhere, then the command's words, its options and arguments.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/ctl/ctl.h"

static const char *const short_options[][2] = {{"-o", "--output"}, {"-w", "--watch"},
                                               {"-f", "--follow"}, {"-q", "--quiet"},
                                               {"-h", "--help"},   {"-V", "--version"}};

static int parse_error(const struct ctl *ctl, const char *what, const char *which)
{
    return ctl_error(ctl, CTL_USAGE, "usage", "meshctl --help", "%s: %s", what, which);
}

static const struct ctl_option *option_find(const struct ctl_option *options, const char *name,
                                            size_t size)
{
    for (; options->name != NULL; options++)
        if (strlen(options->name) == size && strncmp(options->name, name, size) == 0)
            return options;
    return NULL;
}

/* How many of the first arguments are the words of [command]; 0: they are not. */
static int words_match(const struct ctl_command *command, char *const *args, int count)
{
    const char *at = command->words;
    int used = 0;

    for (;;) {
        size_t size = strcspn(at, " ");
        if (used >= count || strlen(args[used]) != size || strncmp(args[used], at, size) != 0)
            return 0;
        used++;
        if (at[size] == '\0') return used;
        at += size + 1;
    }
}

static const struct ctl_command *command_find(char *const *args, int count, int *used)
{
    const struct ctl_command *best = NULL;

    *used = 0;
    for (const struct ctl_command *command = ctl_commands; command->words != NULL; command++) {
        int matched = words_match(command, args, count);
        if (matched <= *used) continue;
        best = command;
        *used = matched;
    }
    return best;
}

static bool format_parse(const char *text, enum ctl_format *ret)
{
    static const char *const names[] = {"table", "wide", "json", "jsonl", "plain"};

    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum ctl_format)i;
            return true;
        }
    return false;
}

static int global_set(struct ctl *ctl, const char *name, const char *value)
{
    uint64_t ms;

    if (strcmp(name, "--json") == 0)
        ctl->format = CTL_JSON;
    else if (strcmp(name, "--socket") == 0)
        ctl->socket = value;
    else if (strcmp(name, "--data") == 0)
        ctl->data = value;
    else if (strcmp(name, "--server") == 0)
        ctl->server = value;
    else if (strcmp(name, "--watch") == 0)
        ctl->is_watching = true;
    else if (strcmp(name, "--follow") == 0)
        ctl->is_following = true;
    else if (strcmp(name, "--quiet") == 0)
        ctl->is_quiet = true;
    else if (strcmp(name, "--output") == 0) {
        if (!format_parse(value, &ctl->format))
            return parse_error(ctl, "no such output format", value);
    } else if (strcmp(name, "--timeout") == 0) {
        if (!ctl_parse_duration(value, &ms) || ms > 86400000)
            return parse_error(ctl, "not a time such as 5s", value);
        ctl->timeout_ms = (unsigned)ms;
    }
    return CTL_OK;
}

/* An option at args[*index]: takes its value, moves *index past both. */
static int option_take(struct ctl *ctl, const struct ctl_option *of_command, char *const *args,
                       int count, int *index)
{
    const char *name = args[*index], *equals = strchr(name, '='), *value = "";
    size_t size = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const struct ctl_option *option;
    bool is_global;

    for (size_t i = 0; i < sizeof short_options / sizeof *short_options; i++)
        if (strcmp(name, short_options[i][0]) == 0) {
            name = short_options[i][1];
            size = strlen(name);
        }
    option = option_find(ctl_global_options, name, size);
    is_global = option != NULL;
    if (option == NULL && of_command != NULL) option = option_find(of_command, name, size);
    if (option == NULL) return parse_error(ctl, "no such option here", args[*index]);
    (*index)++;
    if (option->value != NULL && equals != NULL)
        value = equals + 1;
    else if (option->value != NULL && *index < count)
        value = args[(*index)++];
    else if (option->value != NULL)
        return parse_error(ctl, "needs a value", option->name);
    if (is_global) return global_set(ctl, option->name, value);
    if (ctl->values_count == CTL_VALUES_MAX) return parse_error(ctl, "too many options", name);
    ctl->values[ctl->values_count++] = (struct ctl_value){option->name, value};
    return CTL_OK;
}

static bool wants(char *const *args, int count, const char *name, const char *short_name)
{
    for (int i = 1; i < count && strcmp(args[i], "--") != 0; i++)
        if (strcmp(args[i], name) == 0 || strcmp(args[i], short_name) == 0) return true;
    return false;
}

/* The words without options, to find the command by. */
static int words_collect(char *const *argv, int argc, char **words)
{
    int count = 0;

    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (argv[i][0] != '-' || argv[i][1] == '\0') {
            words[count++] = argv[i];
            continue;
        }
        const struct ctl_option *option = option_find(ctl_global_options, argv[i], strlen(argv[i]));
        if ((option != NULL && option->value != NULL) || strcmp(argv[i], "-o") == 0) i++;
    }
    return count;
}

static int parse_command(struct ctl *ctl, int argc, char **argv)
{
    char **words = mn_arena_alloc(&ctl->arena, (size_t)argc * sizeof *words);
    int used, count = words_collect(argv, argc, words);

    ctl->command = command_find(words, count, &used);
    if (wants(argv, argc, "--help", "-h")) {
        ctl_help(ctl->command);
        exit(CTL_OK);
    }
    if (wants(argv, argc, "--version", "-V")) {
        printf("meshctl (meshnode) %s\n", MN_VERSION);
        exit(CTL_OK);
    }
    if (wants(argv, argc, "--help-man", "--help-man")) {
        ctl_man();
        exit(CTL_OK);
    }
    if (ctl->command != NULL) return CTL_OK;
    if (count == 0) {
        ctl_help(NULL);
        return CTL_USAGE;
    }
    return parse_error(ctl, "no such command", words[0]);
}

int ctl_parse(struct ctl *ctl, int argc, char **argv)
{
    int status = parse_command(ctl, argc, argv), words_left = 1;

    if (status != CTL_OK) return status;
    for (const char *at = ctl->command->words; (at = strchr(at, ' ')) != NULL; at++)
        words_left++;
    for (int i = 1; i < argc;) {
        if (strcmp(argv[i], "--") == 0) {
            ctl->rest = argv + i + 1;
            break;
        }
        if (argv[i][0] == '-' && argv[i][1] != '\0') {
            status = option_take(ctl, ctl->command->options, argv, argc, &i);
            if (status != CTL_OK) return status;
        } else if (words_left > 0) {
            words_left--;
            i++;
        } else {
            if (ctl->args_count == CTL_ARGS_MAX) return parse_error(ctl, "too many", argv[i]);
            ctl->args[ctl->args_count++] = argv[i++];
        }
    }
    if (ctl->args_count < ctl->command->args_min || ctl->args_count > ctl->command->args_max)
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl --help", "usage: meshctl %s %s",
                         ctl->command->words, ctl->command->args);
    return CTL_OK;
}

const char *ctl_value(const struct ctl *ctl, const char *name)
{
    for (int i = 0; i < ctl->values_count; i++)
        if (strcmp(ctl->values[i].name, name) == 0) return ctl->values[i].value;
    return NULL;
}

bool ctl_parse_duration(const char *text, uint64_t *ret_ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end;
    unsigned long long number;

    if (*text < '0' || *text > '9') return false;
    number = strtoull(text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(end, units[i].unit) != 0) continue;
        if (number > UINT64_MAX / units[i].ms) return false;
        *ret_ms = number * units[i].ms;
        return true;
    }
    return false;
}
