#include "node/io/options.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"

#define OPTIONS_ENVIRONMENT_PREFIX "MESHNODE_"
#define OPTIONS_FLAGS_MAX 64

static mn_status options_fail(struct options_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static mn_status options_fail(struct options_error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return MN_CONFIG;
}

static char *options_copy(struct mn_span text)
{
    char *copy = mn_alloc(text.size + 1);
    if (text.size > 0) memcpy(copy, text.data, text.size);
    return copy;
}

/* ---- texts to values ---- */

mn_status options_parse_duration(struct mn_span text, mn_time *ret)
{
    static const struct {
        const char *name;
        mn_time unit;
    } units[] = {{"ms", MN_MS}, {"s", MN_SEC}, {"m", MN_MINUTE}, {"h", MN_HOUR}, {"d", MN_DAY}};
    size_t digits = 0;
    mn_time number = 0;
    while (digits < text.size && text.data[digits] >= '0' && text.data[digits] <= '9') {
        if (number > UINT32_MAX) return MN_CONFIG;
        number = number * 10 + (mn_time)(text.data[digits++] - '0');
    }
    if (digits == 0) return MN_CONFIG;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (!mn_span_is(mn_span(text.data + digits, text.size - digits), units[i].name)) continue;
        if (number > MN_TIME_NEVER / units[i].unit) return MN_CONFIG;
        *ret = number * units[i].unit;
        return MN_OK;
    }
    return MN_CONFIG;
}

static bool options_is_port(struct mn_span text)
{
    uint32_t port = 0;
    if (text.size == 0 || text.size > 5) return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        port = port * 10 + (uint32_t)(text.data[i] - '0');
    }
    return port <= UINT16_MAX;
}

bool options_is_address(struct mn_span text)
{
    const uint8_t *colon = text.size == 0 ? NULL : memrchr(text.data, ':', text.size);
    if (colon == NULL || colon == text.data) return false;
    struct mn_span host = mn_span(text.data, (size_t)(colon - text.data));
    if (!options_is_port(mn_span(colon + 1, text.size - host.size - 1))) return false;
    bool is_v6 = host.data[0] == '[' && host.data[host.size - 1] == ']';
    if (is_v6) host = mn_span(host.data + 1, host.size - 2);
    if (host.size == 0 || host.size > 253) return false;
    for (size_t i = 0; i < host.size; i++) {
        char c = (char)host.data[i];
        bool is_name = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_name && c != '.' && !(is_v6 ? c == ':' : c == '-' || c == '_')) return false;
    }
    return true;
}

static bool options_is_choice(const char *choices, struct mn_span text)
{
    while (*choices != '\0') {
        size_t size = strcspn(choices, "|");
        if (mn_span_equal(mn_span(choices, size), text)) return true;
        choices += size + (choices[size] == '|');
    }
    return false;
}

static mn_status options_check(const struct option_spec *spec, struct mn_span item,
                               struct options_error *error)
{
    const char *name = spec->key;
    bool is_secret = (spec->attributes & OPTION_IS_SECRET) != 0;
    int shown = is_secret ? 0 : (int)(item.size < 200 ? item.size : 200);
    const char *text = (const char *)item.data;
    mn_time duration;
    if (item.size > OPTIONS_VALUE_MAX)
        return options_fail(error, "%s: longer than %d bytes", name, OPTIONS_VALUE_MAX);
    if (item.size > 0 && memchr(item.data, '\0', item.size) != NULL)
        return options_fail(error, "%s: contains a NUL byte", name);
    switch (spec->type) {
    case OPTION_TEXT: return MN_OK;
    case OPTION_BOOL:
        if (mn_span_is(item, "true") || mn_span_is(item, "false")) return MN_OK;
        return options_fail(error, "%s: \"%.*s\" is not true or false", name, shown, text);
    case OPTION_DURATION:
        if (options_parse_duration(item, &duration) == MN_OK) return MN_OK;
        return options_fail(error, "%s: \"%.*s\" is not a duration such as 50ms, 5s, 10m, 2h or 7d",
                            name, shown, text);
    case OPTION_CHOICE:
        if (options_is_choice(spec->choices, item)) return MN_OK;
        return options_fail(error, "%s: \"%.*s\" is not one of %s", name, shown, text,
                            spec->choices);
    case OPTION_ADDRESS:
        if (options_is_address(item)) return MN_OK;
        return options_fail(error, "%s: \"%.*s\" is not an address such as 127.0.0.1:7000", name,
                            shown, text);
    }
    MN_ASSERT(false);
    return MN_CONFIG;
}

/* ---- values ---- */

static void options_clear(const struct option_spec *spec, struct option_value *value)
{
    for (uint32_t i = 0; i < value->items_count; i++) {
        if (spec->attributes & OPTION_IS_SECRET)
            explicit_bzero(value->items[i], strlen(value->items[i]));
        mn_free(value->items[i]);
    }
    mn_free(value->items);
    mn_free(value->origin);
    *value = (struct option_value){0};
}

static void options_add(struct option_value *value, struct mn_span item)
{
    size_t size = (value->items_count + 1) * sizeof *value->items;
    value->items = mn_realloc(value->items, size);
    value->items[value->items_count++] = options_copy(item);
}

mn_status options_set(struct options *options, uint32_t index, enum option_rank rank,
                      const char *origin, const struct mn_span *items, uint32_t items_count,
                      struct options_error *error)
{
    MN_ASSERT(index < options->count);
    const struct option_spec *spec = &options->specs[index];
    struct option_value *value = &options->values[index];
    bool is_list = (spec->attributes & OPTION_IS_LIST) != 0;
    bool grows = is_list && rank == OPTION_FLAG && value->rank == OPTION_FLAG;
    uint32_t present = grows ? value->items_count : 0;
    if (!is_list && items_count != 1)
        return options_fail(error, "%s: takes one value, not a list", spec->key);
    if (items_count > OPTIONS_ITEMS_MAX - present)
        return options_fail(error, "%s: more than %d values", spec->key, OPTIONS_ITEMS_MAX);
    for (uint32_t i = 0; i < items_count; i++) {
        mn_status status = options_check(spec, items[i], error);
        if (status != MN_OK) return status;
    }
    if (rank < value->rank) return MN_OK;
    if (!grows) options_clear(spec, value);
    mn_free(value->origin);
    value->origin = options_copy(mn_span_str(origin));
    value->rank = rank;
    for (uint32_t i = 0; i < items_count; i++)
        options_add(value, items[i]);
    return MN_OK;
}

/* Items separated by commas; an empty text is an empty list. */
static uint32_t options_split(struct mn_span text, struct mn_span *items, uint32_t items_max)
{
    uint32_t count = 0;
    while (text.size > 0 && count < items_max) {
        const uint8_t *comma = memchr(text.data, ',', text.size);
        size_t size = comma == NULL ? text.size : (size_t)(comma - text.data);
        items[count++] = mn_span(text.data, size);
        size += comma != NULL;
        text = mn_span(text.data + size, text.size - size);
    }
    return count;
}

static mn_status options_set_text(struct options *options, uint32_t index, enum option_rank rank,
                                  const char *origin, struct mn_span text,
                                  struct options_error *error)
{
    struct mn_span items[OPTIONS_ITEMS_MAX + 1] = {text};
    uint32_t count = 1;
    if (options->specs[index].attributes & OPTION_IS_LIST)
        count = options_split(text, items, OPTIONS_ITEMS_MAX + 1);
    return options_set(options, index, rank, origin, items, count, error);
}

void options_init(struct options *options, const struct option_spec *specs, uint32_t count)
{
    struct options_error error;
    *options = (struct options){specs, mn_alloc(count * sizeof *options->values), count};
    for (uint32_t i = 0; i < count; i++) {
        if (specs[i].fallback == NULL) continue;
        mn_status status = options_set_text(options, i, OPTION_DEFAULT, "default",
                                            mn_span_str(specs[i].fallback), &error);
        MN_ASSERT(status == MN_OK);
    }
}

void options_done(struct options *options)
{
    for (uint32_t i = 0; i < options->count; i++)
        options_clear(&options->specs[i], &options->values[i]);
    mn_free(options->values);
    *options = (struct options){0};
}

mn_status options_find(const struct options *options, struct mn_span key, uint32_t *ret)
{
    for (uint32_t i = 0; i < options->count; i++) {
        if (!mn_span_is(key, options->specs[i].key)) continue;
        *ret = i;
        return MN_OK;
    }
    return MN_NOT_FOUND;
}

/* Levenshtein, "Binary codes capable of correcting deletions, insertions, and reversals" (1966). */
static uint32_t options_distance(const char *a, const char *b)
{
    uint32_t row[OPTIONS_KEY_SIZE + 1];
    size_t a_size = strnlen(a, OPTIONS_KEY_SIZE), b_size = strnlen(b, OPTIONS_KEY_SIZE);
    for (uint32_t j = 0; j <= b_size; j++)
        row[j] = j;
    for (uint32_t i = 1; i <= a_size; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= b_size; j++) {
            uint32_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            uint32_t shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = replaced < shorter ? replaced : shorter;
        }
    }
    return row[b_size];
}

/* As many parts of [candidate] as [key] has: a misspelt section is compared with sections. */
static void options_cut(const char *candidate, const char *key, char ret[OPTIONS_KEY_SIZE])
{
    size_t size = 0;
    int dots = 0;
    for (const char *c = key; *c != '\0'; c++)
        dots += *c == '.';
    for (; candidate[size] != '\0' && size < OPTIONS_KEY_SIZE - 1; size++) {
        if (candidate[size] == '.' && dots-- == 0) break;
        ret[size] = candidate[size];
    }
    ret[size] = '\0';
}

const char *options_nearest(const struct options *options, const char *key,
                            char ret[OPTIONS_KEY_SIZE])
{
    char candidate[OPTIONS_KEY_SIZE];
    options_cut(options->specs[0].key, key, ret);
    for (uint32_t i = 1; i < options->count; i++) {
        options_cut(options->specs[i].key, key, candidate);
        if (options_distance(key, candidate) < options_distance(key, ret))
            memcpy(ret, candidate, sizeof candidate);
    }
    return ret;
}

const char *options_text(const struct options *options, uint32_t index)
{
    const struct option_value *value = &options->values[index];
    return value->items_count == 0 ? "" : value->items[0];
}

bool options_bool(const struct options *options, uint32_t index)
{
    return strcmp(options_text(options, index), "true") == 0;
}

mn_time options_duration(const struct options *options, uint32_t index)
{
    mn_time duration = 0;
    mn_status status = options_parse_duration(mn_span_str(options_text(options, index)), &duration);
    MN_ASSERT(status == MN_OK); /* it was checked when it was set */
    return duration;
}

/* ---- environment ---- */

static void options_environment_name(const struct option_spec *spec, char name[OPTIONS_KEY_SIZE])
{
    snprintf(name, OPTIONS_KEY_SIZE, OPTIONS_ENVIRONMENT_PREFIX "%s", spec->key);
    for (char *c = name; *c != '\0'; c++) {
        if (*c >= 'a' && *c <= 'z') *c = (char)(*c - 'a' + 'A');
        if (*c == '.') *c = '_';
    }
}

static const char *options_nearest_environment(const struct options *options, const char *given,
                                               char name[OPTIONS_KEY_SIZE])
{
    char candidate[OPTIONS_KEY_SIZE];
    options_environment_name(&options->specs[0], name);
    for (uint32_t i = 1; i < options->count; i++) {
        options_environment_name(&options->specs[i], candidate);
        if (options_distance(given, candidate) < options_distance(given, name))
            memcpy(name, candidate, sizeof candidate);
    }
    return name;
}

static mn_status options_read_variable(struct options *options, struct mn_span name,
                                       const char *text, struct options_error *error)
{
    char known[OPTIONS_KEY_SIZE], origin[OPTIONS_KEY_SIZE + 16];
    for (uint32_t i = 0; i < options->count; i++) {
        options_environment_name(&options->specs[i], known);
        if (!mn_span_is(name, known)) continue;
        struct options_error why;
        snprintf(origin, sizeof origin, "environment %s", known);
        if (options_set_text(options, i, OPTION_ENVIRONMENT, origin, mn_span_str(text), &why) ==
            MN_OK)
            return MN_OK;
        return options_fail(error, "%s: %.900s", origin, why.text);
    }
    char given[OPTIONS_KEY_SIZE];
    snprintf(given, sizeof given, "%.*s", (int)name.size, (const char *)name.data);
    return options_fail(error, "environment: unknown name \"%s\", did you mean \"%s\"?", given,
                        options_nearest_environment(options, given, known));
}

mn_status options_read_environment(struct options *options, char **environment,
                                   struct options_error *error)
{
    static const char prefix[] = OPTIONS_ENVIRONMENT_PREFIX;
    for (; *environment != NULL; environment++) {
        const char *equals = strchr(*environment, '=');
        if (equals == NULL || strncmp(*environment, prefix, sizeof prefix - 1) != 0) continue;
        struct mn_span name = mn_span(*environment, (size_t)(equals - *environment));
        mn_status status = options_read_variable(options, name, equals + 1, error);
        if (status != MN_OK) return status;
    }
    return MN_OK;
}

/* ---- flags ---- */

/* getopt's value for what is in neither table; indices of flags follow after 1000. */
enum { OPTIONS_GETOPT_BASE = 1000 };

static uint32_t options_long_flags(const struct options *options, const struct options_extra *extra,
                                   uint32_t extra_count, struct option *flags)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < options->count; i++) {
        if (options->specs[i].flag == NULL) continue;
        MN_ASSERT(count < OPTIONS_FLAGS_MAX);
        bool is_bool = options->specs[i].type == OPTION_BOOL;
        flags[count++] =
            (struct option){options->specs[i].flag, is_bool ? optional_argument : required_argument,
                            NULL, OPTIONS_GETOPT_BASE + (int)i};
    }
    for (uint32_t i = 0; i < extra_count; i++) {
        MN_ASSERT(count < OPTIONS_FLAGS_MAX);
        flags[count++] =
            (struct option){extra[i].flag, extra[i].has_argument ? required_argument : no_argument,
                            NULL, OPTIONS_GETOPT_BASE + (int)(options->count + i)};
    }
    flags[count] = (struct option){0};
    return count;
}

static mn_status options_unknown_flag(const char *given, const struct option *flags, uint32_t count,
                                      struct options_error *error)
{
    char name[OPTIONS_KEY_SIZE];
    uint32_t nearest = 0;
    snprintf(name, sizeof name, "%s", given + strspn(given, "-"));
    name[strcspn(name, "=")] = '\0';
    for (uint32_t i = 1; i < count; i++) {
        if (options_distance(name, flags[i].name) < options_distance(name, flags[nearest].name))
            nearest = i;
    }
    return options_fail(error, "unknown flag %.200s, did you mean --%s?", given,
                        flags[nearest].name);
}

/* A flag's text is one item, whatever commas are in it: a list is given by repeating the flag. */
static mn_status options_set_flag(struct options *options, uint32_t index, const char *text,
                                  struct options_error *error)
{
    char origin[OPTIONS_KEY_SIZE];
    struct options_error why;
    struct mn_span item = mn_span_str(text == NULL ? "true" : text);
    snprintf(origin, sizeof origin, "flag --%s", options->specs[index].flag);
    if (options_set(options, index, OPTION_FLAG, origin, &item, 1, &why) == MN_OK) return MN_OK;
    return options_fail(error, "%s: %.900s", origin, why.text);
}

mn_status options_read_flags(struct options *options, int argc, char **argv,
                             struct options_extra *extra, uint32_t extra_count, char **ret_words,
                             uint32_t *ret_words_count, struct options_error *error)
{
    struct option flags[OPTIONS_FLAGS_MAX + 1];
    uint32_t flags_count = options_long_flags(options, extra, extra_count, flags);
    int found;
    *ret_words_count = 0;
    optind = 0; /* start afresh, also when called again */
    opterr = 0;
    while ((found = getopt_long(argc, argv, "-:", flags, NULL)) != -1) {
        mn_status status = MN_OK;
        uint32_t index = (uint32_t)(found - OPTIONS_GETOPT_BASE);
        if (found == 1) {
            ret_words[(*ret_words_count)++] = optarg;
        } else if (found == ':') {
            status = options_fail(error, "%s needs a value", argv[optind - 1]);
        } else if (found < OPTIONS_GETOPT_BASE) {
            const char letter[] = {'-', (char)optopt, '\0'};
            bool is_letter = optopt > 0 && optopt < OPTIONS_GETOPT_BASE;
            status = options_unknown_flag(is_letter ? letter : argv[optind - 1], flags, flags_count,
                                          error);
        } else if (index < options->count) {
            status = options_set_flag(options, index, optarg, error);
        } else {
            extra[index - options->count].value = optarg == NULL ? "" : optarg;
        }
        if (status != MN_OK) return status;
    }
    while (optind < argc)
        ret_words[(*ret_words_count)++] = argv[optind++]; /* after "--" */
    return MN_OK;
}
