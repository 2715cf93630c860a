/* YAML, by events, so that each value knows its line. Accepted: mappings, whose keys joined by dots
 * name an option, with a scalar or a sequence of scalars at their ends. Anchors, tags and further
 * documents are refused: a file means what it says, once. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <yaml.h>

#include "node/io/config.h"
#include "node/io/files.h"
#include "proto/base/check.h"
#include "proto/base/memory.h"

#define CONFIG_KEY_SIZE 128
#define CONFIG_DEPTH_MAX 4

struct config_yaml {
    yaml_parser_t parser;
    struct options *options;
    const char *name;
    struct options_error *error;
    struct mn_arena arena; /* items of the value being read */
    char key[CONFIG_KEY_SIZE];
    uint32_t key_lines[CONFIG_COUNT]; /* where a key stood in this file; 0: it did not */
};

/* "FILE:LINE: ..." */
static mn_status config_yaml_fail(struct config_yaml *yaml, size_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static mn_status config_yaml_fail(struct config_yaml *yaml, size_t line, const char *format, ...)
{
    char text[OPTIONS_ERROR_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(yaml->error->text, sizeof yaml->error->text, "%.300s:%zu: %.700s", yaml->name, line,
             text);
    return MN_CONFIG;
}

static size_t config_yaml_line(const yaml_event_t *event)
{
    return event->start_mark.line + 1;
}

/* The next event; the caller deletes it. */
static mn_status config_yaml_next(struct config_yaml *yaml, yaml_event_t *event)
{
    const yaml_parser_t *parser = &yaml->parser;
    if (yaml_parser_parse(&yaml->parser, event)) return MN_OK;
    bool is_reader = parser->error == YAML_READER_ERROR;
    return config_yaml_fail(yaml, parser->problem_mark.line + 1, "not valid YAML: %s",
                            is_reader || parser->problem == NULL ? "not UTF-8 text"
                                                                 : parser->problem);
}

/* ---- ${env:X} and ${file:/path} ---- */

/* Only a warning: secrets that a container engine mounts are readable by all, of few. */
static void config_warn_if_shared(const struct config_yaml *yaml, size_t line, const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0 || (info.st_mode & 077) == 0) return;
    fprintf(stderr, "meshnode: %s:%zu: %s: others may read %s (mode %04o): chmod 600\n", yaml->name,
            line, yaml->key, path, (unsigned)info.st_mode & 07777);
}

static mn_status config_expand_file(struct config_yaml *yaml, size_t line, const char *path,
                                    bool is_secret, struct mn_span *ret)
{
    struct mn_buf *buf = NULL;
    if (path[0] != '/')
        return config_yaml_fail(yaml, line, "%s: ${file:%.200s}: give an absolute path", yaml->key,
                                path);
    mn_status status = files_read(path, OPTIONS_VALUE_MAX, &buf);
    if (status == MN_TOO_BIG)
        return config_yaml_fail(yaml, line, "%s: %.300s: larger than %d bytes", yaml->key, path,
                                OPTIONS_VALUE_MAX);
    if (status != MN_OK)
        return config_yaml_fail(yaml, line, "%s: %.300s: %s", yaml->key, path, strerror(errno));
    if (is_secret) config_warn_if_shared(yaml, line, path);
    struct mn_span text = mn_buf_span(buf);
    while (text.size > 0 && strchr(" \t\r\n", text.data[text.size - 1]) != NULL)
        text.size--;
    *ret = mn_arena_copy(&yaml->arena, text);
    explicit_bzero(buf->bytes, buf->size);
    mn_buf_unref(buf);
    return MN_OK;
}

static mn_status config_expand(struct config_yaml *yaml, size_t line, const char *reference,
                               bool is_secret, struct mn_span *ret)
{
    if (strncmp(reference, "file:", 5) == 0)
        return config_expand_file(yaml, line, reference + 5, is_secret, ret);
    if (strncmp(reference, "env:", 4) != 0)
        return config_yaml_fail(yaml, line, "%s: ${%.200s}: write ${env:NAME} or ${file:/path}",
                                yaml->key, reference);
    const char *value = getenv(reference + 4);
    if (value == NULL)
        return config_yaml_fail(yaml, line, "%s: ${%.200s}: there is no such variable", yaml->key,
                                reference);
    *ret = mn_arena_copy(&yaml->arena, mn_span_str(value));
    return MN_OK;
}

/* A reference is the whole value; "${" elsewhere is a mistake rather than text. */
static mn_status config_yaml_item(struct config_yaml *yaml, const yaml_event_t *event,
                                  const struct option_spec *spec, struct mn_span *ret)
{
    size_t line = config_yaml_line(event);
    struct mn_span text = mn_span(event->data.scalar.value, event->data.scalar.length);
    bool is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (is_plain && (text.size == 0 || mn_span_is(text, "~") || mn_span_is(text, "null")))
        return config_yaml_fail(yaml, line, "%s: has no value", yaml->key);
    *ret = mn_arena_copy(&yaml->arena, text);
    if (memmem(text.data, text.size, "${", 2) == NULL) {
        if (!(spec->attributes & OPTION_IS_SECRET)) return MN_OK;
        return config_yaml_fail(
            yaml, line, "%s: a secret is written as ${env:NAME} or ${file:/path}", yaml->key);
    }
    if (text.size < 3 || memcmp(text.data, "${", 2) != 0 || text.data[text.size - 1] != '}')
        return config_yaml_fail(yaml, line, "%s: ${...} must be the whole value", yaml->key);
    struct mn_span reference = mn_arena_copy(&yaml->arena, mn_span(text.data + 2, text.size - 3));
    return config_expand(yaml, line, (const char *)reference.data,
                         (spec->attributes & OPTION_IS_SECRET) != 0, ret);
}

/* ---- structure ---- */

static mn_status config_yaml_set(struct config_yaml *yaml, uint32_t index, size_t line,
                                 const struct mn_span *items, uint32_t count)
{
    char origin[OPTIONS_ERROR_SIZE];
    struct options_error why;
    if (yaml->key_lines[index] != 0)
        return config_yaml_fail(yaml, line, "%s: stands in line %u already", yaml->key,
                                yaml->key_lines[index]);
    yaml->key_lines[index] = (uint32_t)line;
    snprintf(origin, sizeof origin, "%s:%zu", yaml->name, line);
    if (options_set(yaml->options, index, OPTION_FILE, origin, items, count, &why) == MN_OK)
        return MN_OK;
    return config_yaml_fail(yaml, line, "%s", why.text);
}

/* After the start of a sequence, up to and with its end. */
static mn_status config_yaml_list(struct config_yaml *yaml, uint32_t index, size_t line)
{
    const struct option_spec *spec = &yaml->options->specs[index];
    struct mn_span items[OPTIONS_ITEMS_MAX];
    uint32_t count = 0;
    for (;;) {
        yaml_event_t event;
        mn_status status = config_yaml_next(yaml, &event);
        if (status != MN_OK) return status;
        bool is_end = event.type == YAML_SEQUENCE_END_EVENT;
        if (is_end)
            status = config_yaml_set(yaml, index, line, items, count);
        else if (event.type != YAML_SCALAR_EVENT)
            status = config_yaml_fail(yaml, config_yaml_line(&event),
                                      "%s: a list of plain values is expected", yaml->key);
        else if (count == OPTIONS_ITEMS_MAX)
            status = config_yaml_fail(yaml, config_yaml_line(&event), "%s: more than %d values",
                                      yaml->key, OPTIONS_ITEMS_MAX);
        else
            status = config_yaml_item(yaml, &event, spec, &items[count++]);
        yaml_event_delete(&event);
        if (is_end || status != MN_OK) return status;
    }
}

static bool config_yaml_is_section(const struct config_yaml *yaml)
{
    size_t size = strlen(yaml->key);
    for (uint32_t i = 0; i < yaml->options->count; i++) {
        const char *key = yaml->options->specs[i].key;
        if (strncmp(key, yaml->key, size) == 0 && key[size] == '.') return true;
    }
    return false;
}

static bool config_yaml_is_empty(const yaml_event_t *event)
{
    return event->type == YAML_SCALAR_EVENT && event->data.scalar.length == 0 &&
           event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static mn_status config_yaml_unknown(struct config_yaml *yaml, size_t line)
{
    char nearest[OPTIONS_KEY_SIZE];
    return config_yaml_fail(yaml, line, "unknown key \"%s\", did you mean \"%s\"?", yaml->key,
                            options_nearest(yaml->options, yaml->key, nearest));
}

static mn_status config_yaml_value(struct config_yaml *yaml, const yaml_event_t *event)
{
    size_t line = config_yaml_line(event);
    uint32_t index = 0;
    struct mn_span item = {0};
    if (options_find(yaml->options, mn_span_str(yaml->key), &index) != MN_OK) {
        if (!config_yaml_is_section(yaml)) return config_yaml_unknown(yaml, line);
        if (config_yaml_is_empty(event)) return MN_OK; /* all of its keys are comments */
        return config_yaml_fail(yaml, line, "%s: is a section: keys are expected in it", yaml->key);
    }
    if (event->type == YAML_SEQUENCE_START_EVENT) return config_yaml_list(yaml, index, line);
    mn_status status = config_yaml_item(yaml, event, &yaml->options->specs[index], &item);
    if (status == MN_OK) status = config_yaml_set(yaml, index, line, &item, 1);
    return status;
}

/* Appends ".part" to the key; its former size is returned in [ret]. */
static mn_status config_yaml_enter(struct config_yaml *yaml, const yaml_event_t *event, size_t *ret)
{
    size_t size = strlen(yaml->key), line = config_yaml_line(event);
    if (event->type != YAML_SCALAR_EVENT) return config_yaml_fail(yaml, line, "a key is expected");
    struct mn_span part = mn_span(event->data.scalar.value, event->data.scalar.length);
    if (part.size == 0 || memchr(part.data, '\0', part.size) != NULL)
        return config_yaml_fail(yaml, line, "a key is expected");
    if (size + part.size + 2 > sizeof yaml->key)
        return config_yaml_fail(yaml, line, "unknown key \"%.60s...\"", (const char *)part.data);
    *ret = size;
    if (size > 0) yaml->key[size++] = '.';
    memcpy(yaml->key + size, part.data, part.size);
    yaml->key[size + part.size] = '\0';
    return MN_OK;
}

static mn_status config_yaml_mapping(struct config_yaml *yaml, uint32_t depth);

/* A section if it is one of the table's, so that a misspelt one is named where it stands. */
static mn_status config_yaml_section(struct config_yaml *yaml, size_t line, uint32_t depth)
{
    uint32_t index;
    if (config_yaml_is_section(yaml)) return config_yaml_mapping(yaml, depth + 1);
    if (options_find(yaml->options, mn_span_str(yaml->key), &index) != MN_OK)
        return config_yaml_unknown(yaml, line);
    return config_yaml_fail(yaml, line, "%s: takes a value, not a section", yaml->key);
}

static mn_status config_yaml_entry(struct config_yaml *yaml, uint32_t depth)
{
    yaml_event_t event;
    mn_status status = config_yaml_next(yaml, &event);
    if (status != MN_OK) return status;
    size_t line = config_yaml_line(&event);
    if (event.type == YAML_MAPPING_START_EVENT)
        status = config_yaml_section(yaml, line, depth);
    else if (event.type == YAML_SCALAR_EVENT || event.type == YAML_SEQUENCE_START_EVENT)
        status = config_yaml_value(yaml, &event);
    else
        status = config_yaml_fail(yaml, line, "%s: aliases are not supported", yaml->key);
    yaml_event_delete(&event);
    return status;
}

/* After the start of a mapping, up to and with its end. */
static mn_status config_yaml_mapping(struct config_yaml *yaml, uint32_t depth)
{
    for (;;) {
        yaml_event_t event;
        size_t size = 0;
        mn_status status = config_yaml_next(yaml, &event);
        if (status != MN_OK) return status;
        bool is_end = event.type == YAML_MAPPING_END_EVENT;
        if (!is_end && depth == CONFIG_DEPTH_MAX)
            status = config_yaml_fail(yaml, config_yaml_line(&event), "nested too deeply");
        else if (!is_end)
            status = config_yaml_enter(yaml, &event, &size);
        yaml_event_delete(&event);
        if (is_end || status != MN_OK) return status;
        status = config_yaml_entry(yaml, depth);
        if (status != MN_OK) return status;
        yaml->key[size] = '\0';
    }
}

static mn_status config_yaml_document(struct config_yaml *yaml)
{
    bool has_document = false;
    for (;;) {
        yaml_event_t event;
        mn_status status = config_yaml_next(yaml, &event);
        if (status != MN_OK) return status;
        size_t line = config_yaml_line(&event);
        bool is_end = event.type == YAML_STREAM_END_EVENT;
        bool is_scalar = event.type == YAML_SCALAR_EVENT;
        if (event.type == YAML_DOCUMENT_START_EVENT && has_document)
            status = config_yaml_fail(yaml, line, "a second document; one is read");
        else if (event.type == YAML_DOCUMENT_START_EVENT)
            has_document = true;
        else if (event.type == YAML_MAPPING_START_EVENT)
            status = config_yaml_mapping(yaml, 0);
        else if (event.type == YAML_SEQUENCE_START_EVENT || event.type == YAML_ALIAS_EVENT ||
                 (is_scalar && event.data.scalar.length > 0))
            status = config_yaml_fail(yaml, line, "sections such as \"mesh:\" are expected");
        yaml_event_delete(&event);
        if (is_end || status != MN_OK) return status;
    }
}

mn_status config_parse(struct options *options, const char *name, struct mn_span text,
                       struct options_error *error)
{
    struct config_yaml yaml = {.options = options, .name = name, .error = error};
    static const uint8_t nothing[1];
    MN_ASSERT(options->count <= CONFIG_COUNT);
    int is_made = yaml_parser_initialize(&yaml.parser);
    MN_ASSERT(is_made); /* out of memory */
    yaml_parser_set_input_string(&yaml.parser, text.size == 0 ? nothing : text.data, text.size);
    mn_status status = config_yaml_document(&yaml);
    yaml_parser_delete(&yaml.parser);
    mn_arena_done(&yaml.arena);
    return status;
}
