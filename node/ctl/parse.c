/* The command line: global options anywhere, then the command's words, its options and arguments.
 */
#include <stdlib.h>
#include <string.h>

#include "node/ctl/ctl.h"
#include "node/json/string.h"

#define TIMEOUT_MAX 86400000 /* ms: a day */

static const char *const short_options[][2] = {{"-o", "--output"}, {"-w", "--watch"},
                                               {"-f", "--follow"}, {"-q", "--quiet"},
                                               {"-h", "--help"},   {"-V", "--version"}};

/* ---- words of commands ---- */

/* How many of the first words are those of [command]; 0: they are not. */
static int words_match(const struct ctl_command *command, char *const *words, int count)
{
    const char *at = command->words;
    int used = 0;

    for (;;) {
        size_t size = strcspn(at, " ");
        if (used >= count || strlen(words[used]) != size || strncmp(words[used], at, size) != 0)
            return 0;
        used++;
        if (at[size] == '\0') return used;
        at += size + 1;
    }
}

static const struct ctl_command *command_find(char *const *words, int count)
{
    const struct ctl_command *best = NULL;
    int best_used = 0;

    for (const struct ctl_command *command = ctl_commands; command->words != NULL; command++) {
        int used = words_match(command, words, count);
        if (used <= best_used) continue;
        best = command;
        best_used = used;
    }
    return best;
}

static int words_count(const struct ctl_command *command)
{
    int count = 1;

    for (const char *at = command->words; (at = strchr(at, ' ')) != NULL; at++)
        count++;
    return count;
}

/* Is the [size]-bytes word at [word] one of [list], "ls, show"? */
static bool list_has(const char *list, const char *word, size_t size)
{
    for (const char *at = list; *at != '\0'; at += strspn(at, ", ")) {
        size_t own = strcspn(at, ",");
        if (own == size && strncmp(at, word, size) == 0) return true;
        at += own;
    }
    return false;
}

/* "ls, show, wait": what may follow the words [before]; "" when nothing does. */
static const char *words_after(struct ctl *ctl, const char *before)
{
    const char *list = "";
    size_t size = strlen(before);

    for (const struct ctl_command *command = ctl_commands; command->words != NULL; command++) {
        const char *next = command->words + size + 1;
        if (strncmp(command->words, before, size) != 0 || command->words[size] != ' ') continue;
        if (list_has(list, next, strcspn(next, " "))) continue;
        list = mn_arena_format(&ctl->arena, "%s%s%.*s", list, *list == '\0' ? "" : ", ",
                               (int)strcspn(next, " "), next);
    }
    return list;
}

/* Says what may stand where the first word stands that leads to no command. */
static int unknown_command(struct ctl *ctl, char *const *words, int count)
{
    const char *before = words[0], *following = words_after(ctl, before), *hint;
    int known = 1;

    if (*following == '\0')
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl --help", "there is no command %s",
                         words[0]);
    for (; known < count; known++) {
        const char *longer = mn_arena_format(&ctl->arena, "%s %s", before, words[known]);
        if (*words_after(ctl, longer) == '\0') break;
        before = longer;
        following = words_after(ctl, longer);
    }
    hint = mn_arena_format(&ctl->arena, "meshctl %s --help", words[0]);
    if (known == count)
        return ctl_error(ctl, CTL_USAGE, "usage", hint, "%s what? one of: %s", before, following);
    return ctl_error(ctl, CTL_USAGE, "usage", hint, "there is no %s %s, only: %s", before,
                     words[known], following);
}

/* ---- options ---- */

static const struct ctl_option *option_find(const struct ctl_option *options, const char *name)
{
    size_t size = strcspn(name, "=");

    for (; options->name != NULL; options++)
        if (strlen(options->name) == size && strncmp(options->name, name, size) == 0)
            return options;
    return NULL;
}

static const char *option_long(const char *name)
{
    for (size_t i = 0; i < sizeof short_options / sizeof *short_options; i++)
        if (strcmp(name, short_options[i][0]) == 0) return short_options[i][1];
    return name;
}

/* -5 is a number. */
static bool is_option(const char *arg)
{
    return arg[0] == '-' && arg[1] != '\0' && (arg[1] < '0' || arg[1] > '9');
}

/* Whether the option at [arg] has its value in the next argument; an option of one name takes a
 * value in all commands or in none. */
static bool option_takes_next(const char *arg)
{
    const struct ctl_option *option = option_find(ctl_global_options, option_long(arg));

    for (const struct ctl_command *command = ctl_commands; option == NULL && command->words != NULL;
         command++)
        option = option_find(command->options, arg);
    return option != NULL && option->value != NULL && strchr(arg, '=') == NULL;
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

static int set_timeout(struct ctl *ctl, const char *text)
{
    uint64_t ms;

    if (!ctl_parse_duration(text, &ms) || ms > TIMEOUT_MAX)
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl --timeout 5s ...",
                         "--timeout %s: not a time such as 500ms, 5s or 2m", text);
    ctl->timeout_ms = (unsigned)ms;
    ctl->has_timeout = true;
    return CTL_OK;
}

static int set_server(struct ctl *ctl, const char *url)
{
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl --server http://127.0.0.1:7080 ...",
                         "--server %s: not a URL", url);
    ctl->server = url;
    return CTL_OK;
}

static int set_global(struct ctl *ctl, const char *name, const char *value)
{
    if (strcmp(name, "--server") == 0) return set_server(ctl, value);
    if (strcmp(name, "--timeout") == 0) return set_timeout(ctl, value);
    if (strcmp(name, "--socket") == 0 || strcmp(name, "--data") == 0)
        ctl->server = ctl->context = NULL; /* of the environment, or said before */
    if (strcmp(name, "--json") == 0)
        ctl->format = CTL_JSON;
    else if (strcmp(name, "--socket") == 0)
        ctl->socket = value;
    else if (strcmp(name, "--data") == 0)
        ctl->data = value;
    else if (strcmp(name, "--token-file") == 0)
        ctl->token_file = value;
    else if (strcmp(name, "--context") == 0)
        ctl->context = value;
    else if (strcmp(name, "--watch") == 0)
        ctl->is_watching = true;
    else if (strcmp(name, "--follow") == 0)
        ctl->is_following = true;
    else if (strcmp(name, "--quiet") == 0)
        ctl->is_quiet = true;
    else if (strcmp(name, "--output") == 0 && !format_parse(value, &ctl->format))
        return ctl_error(ctl, CTL_USAGE, "usage", "meshctl -o json ...",
                         "-o %s: one of table, wide, json, jsonl, plain", value);
    return CTL_OK;
}

/* An option at args[*index]: takes its value, moves *index past both. */
static int option_take(struct ctl *ctl, char *const *args, int count, int *index)
{
    const char *name = option_long(args[*index]), *equals = strchr(name, '='), *value = "";
    const struct ctl_option *option = option_find(ctl_global_options, name);
    const char *hint = mn_arena_format(&ctl->arena, "meshctl %s --help", ctl->command->words);
    bool is_global = option != NULL;

    if (!is_global) option = option_find(ctl->command->options, name);
    if (option == NULL)
        return ctl_error(ctl, CTL_USAGE, "usage", hint, "%s has no option %s", ctl->command->words,
                         args[*index]);
    (*index)++;
    if (option->value == NULL && equals != NULL)
        return ctl_error(ctl, CTL_USAGE, "usage", hint, "%s takes no value", option->name);
    if (option->value != NULL && equals != NULL)
        value = equals + 1;
    else if (option->value != NULL && *index < count)
        value = args[(*index)++];
    else if (option->value != NULL)
        return ctl_error(ctl, CTL_USAGE, "usage", hint, "%s needs a value: %s", option->name,
                         option->value);
    if (is_global) return set_global(ctl, option->name, value);
    if (ctl->values_count == CTL_VALUES_MAX)
        return ctl_error(ctl, CTL_USAGE, "usage", hint, "too many options");
    ctl->values[ctl->values_count++] = (struct ctl_value){option->name, value};
    return CTL_OK;
}

/* ---- the whole line ---- */

static bool wants(char *const *args, int count, const char *name)
{
    for (int i = 1; i < count && strcmp(args[i], "--") != 0; i++) {
        if (!is_option(args[i])) continue;
        if (strcmp(option_long(args[i]), name) == 0) return true;
        if (option_takes_next(args[i])) i++;
    }
    return false;
}

/* The words without options, to find the command by. */
static int words_collect(char *const *argv, int argc, char **words)
{
    int count = 0;

    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (!is_option(argv[i]))
            words[count++] = argv[i];
        else if (option_takes_next(argv[i]))
            i++;
    }
    return count;
}

/* Errors of the command line itself are JSON too, wherever --json stands. */
static void find_format(struct ctl *ctl, int argc, char **argv)
{
    if (wants(argv, argc, "--json")) ctl->format = CTL_JSON;
    for (int i = 1; i + 1 < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(option_long(argv[i]), "--output") == 0)
            (void)format_parse(argv[i + 1], &ctl->format);
}

/* What meshctl can answer without a command. */
static bool answer_itself(struct ctl *ctl, int argc, char **argv, char *const *words, int count)
{
    bool is_asked = count > 0 && strcmp(words[0], "help") == 0; /* as a word, too */

    if (is_asked || wants(argv, argc, "--help")) {
        const struct ctl_command *command;
        words += is_asked;
        count -= is_asked;
        command = command_find(words, count);
        ctl_help(ctl, command != NULL ? command->words : count > 0 ? words[0] : NULL);
    } else if (wants(argv, argc, "--version")) {
        fprintf(ctl->out, "meshctl (meshnode) %s\n", MN_VERSION);
    } else if (wants(argv, argc, "--help-man")) {
        ctl_man(ctl);
    } else {
        return false;
    }
    return true;
}

/* There are options alone: one may be unknown, or have taken the command for its value. */
static int no_command(struct ctl *ctl, int argc, char **argv)
{
    for (int i = 1; i < argc && is_option(argv[i]); i++) {
        if (option_find(ctl_global_options, option_long(argv[i])) == NULL)
            return ctl_error(ctl, CTL_USAGE, "usage", "meshctl --help", "there is no option %s",
                             argv[i]);
        if (option_takes_next(argv[i])) i++;
    }
    return ctl_error(ctl, CTL_USAGE, "usage", "meshctl --help",
                     "a command is missing: meshctl [OPTIONS] COMMAND [ARGUMENTS]");
}

/* What follows `--` is a command line where there can be one, and arguments elsewhere. */
static int parse_args(struct ctl *ctl, int argc, char **argv)
{
    int words_left = words_count(ctl->command), status = CTL_OK;
    bool has_ended = false;

    for (int i = 1; i < argc && status == CTL_OK;) {
        if (!has_ended && strcmp(argv[i], "--") == 0) {
            i++;
            has_ended = true;
            if (strstr(ctl->command->args, "--") == NULL) continue;
            ctl->rest = argv + i;
            break;
        }
        if (!has_ended && is_option(argv[i])) {
            status = option_take(ctl, argv, argc, &i);
        } else if (words_left > 0) {
            words_left--;
            i++;
        } else if (ctl->args_count == CTL_ARGS_MAX) {
            return ctl_error(ctl, CTL_USAGE, "usage", "meshctl --help", "too many arguments");
        } else {
            ctl->args[ctl->args_count++] = argv[i++];
        }
    }
    return status;
}

/* What is no text would arrive as another one. Names of files are opened here, whatever they are.
 */
static bool args_are_text(const struct ctl *ctl)
{
    bool are_text = true;

    for (int i = 0; i < ctl->args_count && strstr(ctl->command->args, "FILE") == NULL; i++)
        are_text = are_text && json_string_is_text(mn_span_str(ctl->args[i]));
    for (int i = 0; i < ctl->values_count; i++)
        are_text = are_text && json_string_is_text(mn_span_str(ctl->values[i].value));
    for (char **word = ctl->rest; word != NULL && *word != NULL; word++)
        are_text = are_text && json_string_is_text(mn_span_str(*word));
    return are_text;
}

static int check_args(struct ctl *ctl)
{
    const struct ctl_command *command = ctl->command;
    const char *hint = mn_arena_format(&ctl->arena, "meshctl %s --help", command->words);

    bool is_nameless = command->args_min > 0 && ctl->args_count > 0 && *ctl->args[0] == '\0';

    if (ctl->args_count < command->args_min || ctl->args_count > command->args_max || is_nameless)
        return ctl_error(ctl, CTL_USAGE, "usage", hint, "it goes: meshctl %s%s%s", command->words,
                         *command->args == '\0' ? "" : " ", command->args);
    if (ctl->is_watching && (command->attributes & CTL_CAN_WATCH) == 0)
        return ctl_error(ctl, CTL_USAGE, "usage", hint, "%s cannot be watched", command->words);
    if (ctl->is_following && (command->attributes & CTL_CAN_FOLLOW) == 0)
        return ctl_error(ctl, CTL_USAGE, "usage", hint, "%s cannot be followed", command->words);
    if (!args_are_text(ctl))
        return ctl_error(ctl, CTL_USAGE, "usage", hint, "an argument of %s is no UTF-8 text",
                         command->words);
    return CTL_OK;
}

int ctl_parse(struct ctl *ctl, int argc, char **argv, bool *is_done)
{
    char **words = mn_arena_alloc(&ctl->arena, ((size_t)argc + 1) * sizeof *words);
    int count = words_collect(argv, argc, words), status;

    find_format(ctl, argc, argv);
    *is_done = answer_itself(ctl, argc, argv, words, count);
    if (*is_done) return CTL_OK;
    if (count == 0 && argc > 1) return no_command(ctl, argc, argv);
    if (count == 0) {
        FILE *out = ctl->out;
        ctl->out = ctl->err;
        ctl_help(ctl, NULL);
        ctl->out = out;
        return CTL_USAGE;
    }
    ctl->command = command_find(words, count);
    if (ctl->command == NULL) return unknown_command(ctl, words, count);
    if (count > words_count(ctl->command) && ctl->command->args_max == 0 &&
        *words_after(ctl, ctl->command->words) != '\0')
        return unknown_command(ctl, words, count);
    status = parse_args(ctl, argc, argv);
    if (status == CTL_OK) status = check_args(ctl);
    return status == CTL_OK ? ctl_context_load(ctl) : status;
}

/* ---- values ---- */

const char *ctl_value(const struct ctl *ctl, const char *name)
{
    for (int i = 0; i < ctl->values_count; i++)
        if (strcmp(ctl->values[i].name, name) == 0) return ctl->values[i].value;
    return NULL;
}

/* Digits, then [end]. */
static bool parse_digits(const char *text, uint64_t *ret, const char **end)
{
    uint64_t number = 0;

    if (*text < '0' || *text > '9') return false;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (number > (UINT64_MAX - 9) / 10) return false;
        number = number * 10 + (uint64_t)(*text - '0');
    }
    *ret = number;
    *end = text;
    return true;
}

bool ctl_parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *ret)
{
    const char *end;
    return parse_digits(text, ret, &end) && *end == '\0' && *ret >= least && *ret <= most;
}

bool ctl_parse_duration(const char *text, uint64_t *ret_ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    const char *end;
    uint64_t number;

    if (!parse_digits(text, &number, &end)) return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(end, units[i].unit) != 0) continue;
        if (number > UINT64_MAX / units[i].ms) return false;
        *ret_ms = number * units[i].ms;
        return true;
    }
    return false;
}
