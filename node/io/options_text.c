/* What people read that comes from the table: help, manual page, values and their origins. */
#include "node/io/options.h"

#define OPTIONS_FLAG_COLUMN 34

static struct mn_span options_section(const char *key)
{
    const char *dot = strchr(key, '.');
    return mn_span(key, dot == NULL ? strlen(key) : (size_t)(dot - key));
}

static void options_write_help_line(struct mn_writer *to, const char *flag, const char *argument,
                                    const char *help)
{
    size_t start = mn_writer_size(to);
    mn_writer_format(to, "  --%s%s%s", flag, argument == NULL ? "" : " ",
                     argument == NULL ? "" : argument);
    size_t width = mn_writer_size(to) - start;
    if (width + 2 > OPTIONS_FLAG_COLUMN) {
        mn_writer_str(to, "\n");
        width = 0;
    }
    mn_writer_format(to, "%*s%s", (int)(OPTIONS_FLAG_COLUMN - width), "", help);
}

static void options_write_default(struct mn_writer *to, const struct option_spec *spec)
{
    if (spec->fallback == NULL || spec->fallback[0] == '\0' || spec->type == OPTION_BOOL) return;
    mn_writer_format(to, " [%s]", spec->fallback);
}

void options_write_help(const struct options *options, const struct options_extra *extra,
                        uint32_t extra_count, struct mn_writer *to)
{
    for (uint32_t i = 0; i < extra_count; i++) {
        options_write_help_line(to, extra[i].flag, extra[i].argument, extra[i].help);
        mn_writer_str(to, "\n");
    }
    for (uint32_t i = 0; i < options->count; i++) {
        const struct option_spec *spec = &options->specs[i];
        if (spec->flag == NULL) continue;
        options_write_help_line(to, spec->flag, spec->type == OPTION_BOOL ? NULL : spec->argument,
                                spec->help);
        options_write_default(to, spec);
        mn_writer_str(to, (spec->attributes & OPTION_IS_LIST) ? " (repeatable)\n" : "\n");
    }
}

/* A line of text that must not be taken for a troff request or escape. */
static void options_write_troff(struct mn_writer *to, const char *text)
{
    if (text[0] == '.' || text[0] == '\'') mn_writer_str(to, "\\&");
    for (; *text != '\0'; text++) {
        if (*text == '\\')
            mn_writer_str(to, "\\e");
        else if (*text == '-')
            mn_writer_str(to, "\\-");
        else
            mn_writer_add(to, mn_span(text, 1));
    }
}

static void options_write_man_flag(struct mn_writer *to, const char *flag, const char *argument)
{
    mn_writer_str(to, "\\fB\\-\\-");
    options_write_troff(to, flag);
    mn_writer_str(to, "\\fR");
    if (argument != NULL) mn_writer_format(to, " \\fI%s\\fR", argument);
}

static void options_write_man_option(struct mn_writer *to, const struct option_spec *spec)
{
    mn_writer_str(to, ".TP\n\\fB");
    options_write_troff(to, spec->key);
    mn_writer_str(to, "\\fR");
    if (spec->flag != NULL) {
        mn_writer_str(to, ", ");
        options_write_man_flag(to, spec->flag, spec->type == OPTION_BOOL ? NULL : spec->argument);
    }
    mn_writer_str(to, "\n");
    options_write_troff(to, spec->help);
    if (spec->attributes & OPTION_IS_LIST) mn_writer_str(to, " (a list)");
    if (spec->fallback != NULL && spec->fallback[0] != '\0') {
        mn_writer_str(to, ". Default: ");
        options_write_troff(to, spec->fallback);
    }
    mn_writer_str(to, "\n");
}

void options_write_man(const struct options *options, const struct options_extra *extra,
                       uint32_t extra_count, struct mn_writer *to)
{
    mn_writer_str(to, ".SH OPTIONS\n");
    for (uint32_t i = 0; i < extra_count; i++) {
        mn_writer_str(to, ".TP\n");
        options_write_man_flag(to, extra[i].flag, extra[i].argument);
        mn_writer_str(to, "\n");
        options_write_troff(to, extra[i].help);
        mn_writer_str(to, "\n");
    }
    mn_writer_str(to, ".SH CONFIGURATION\nKeys of the configuration file, and their flags.\n");
    for (uint32_t i = 0; i < options->count; i++)
        options_write_man_option(to, &options->specs[i]);
}

/* User, password and query of a URL are nobody's business but the server's. */
static void options_write_item(struct mn_writer *to, const char *item)
{
    const char *scheme = strstr(item, "://"), *host, *at, *query;
    if (scheme == NULL) {
        mn_writer_str(to, item);
        return;
    }
    host = scheme + 3;
    at = memchr(host, '@', strcspn(host, "/?#"));
    query = strchr(host, '?');
    mn_writer_add(to, mn_span(item, (size_t)(host - item)));
    if (at != NULL) mn_writer_str(to, "***@");
    if (at != NULL) host = at + 1;
    mn_writer_add(to, mn_span(host, query != NULL ? (size_t)(query - host) : strlen(host)));
    if (query != NULL) mn_writer_str(to, "?***");
}

void options_write_shown(const struct option_spec *spec, const char *item, struct mn_writer *to)
{
    options_write_item(to, (spec->attributes & OPTION_IS_SECRET) != 0 ? "***" : item);
}

void options_write_values(const struct options *options, struct mn_writer *to)
{
    struct mn_span section = {0};
    for (uint32_t i = 0; i < options->count; i++) {
        const struct option_spec *spec = &options->specs[i];
        const struct option_value *value = &options->values[i];
        if (!mn_span_equal(section, options_section(spec->key))) {
            if (i > 0) mn_writer_str(to, "\n");
            section = options_section(spec->key);
        }
        size_t start = mn_writer_size(to);
        mn_writer_format(to, "%s: ", spec->key);
        if (spec->attributes & OPTION_IS_LIST) mn_writer_str(to, "[");
        for (uint32_t j = 0; j < value->items_count; j++) {
            mn_writer_str(to, j > 0 ? ", " : "");
            options_write_shown(spec, value->items[j], to);
        }
        if (spec->attributes & OPTION_IS_LIST) mn_writer_str(to, "]");
        size_t width = mn_writer_size(to) - start;
        int pad = width < 45 ? (int)(45 - width) : 1;
        mn_writer_format(to, "%*s# %s\n", pad, "",
                         value->origin == NULL ? "not set" : value->origin);
    }
}

void options_write_flags(const struct options *options, const struct options_extra *extra,
                         uint32_t extra_count, struct mn_writer *to)
{
    for (uint32_t i = 0; i < extra_count; i++)
        mn_writer_format(to, "%s--%s", i > 0 ? " " : "", extra[i].flag);
    for (uint32_t i = 0; i < options->count; i++) {
        if (options->specs[i].flag != NULL) mn_writer_format(to, " --%s", options->specs[i].flag);
    }
}
