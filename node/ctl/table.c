/* Lists and objects, for people or for programs. */
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "node/ctl/ctl.h"

#define COLUMNS_MAX 32
#define ID_SHOWN 8

/* ---- one cell ---- */

static const char *cell_people(struct ctl *ctl, const struct json *value, struct mn_span text,
                               const struct ctl_column *column)
{
    switch (column->as) {
    case CTL_AS_ID:
        if (ctl->format != CTL_WIDE && text.size > ID_SHOWN) text.size = ID_SHOWN;
        break;
    case CTL_AS_MS: return ctl_show_time(ctl, ctl_number(value, ""));
    case CTL_AS_AGE: return ctl_show_age(ctl, ctl_number(value, ""));
    case CTL_AS_BOOL: return json_is_true(value) ? "yes" : "no";
    case CTL_AS_TIME: /* 2026-01-02T03:04:05.678Z */
        if (text.size == 24) return mn_arena_format(&ctl->arena, "%.19sZ", (const char *)text.data);
        break;
    case CTL_AS_TEXT:
    case CTL_AS_STATE: break;
    }
    return ctl_show_span(ctl, text);
}

/* ["a","b"] as "a, b"; of names, which have neither quotes nor brackets. */
static const char *cell_list(struct ctl *ctl, struct mn_span raw)
{
    struct mn_writer writer = {0};
    struct mn_buf *buf;
    const char *text;

    for (size_t i = 0; i < raw.size; i++) {
        if (strchr("[]\" ", raw.data[i]) != NULL) continue;
        mn_writer_add(&writer, mn_span(&raw.data[i], 1));
        if (raw.data[i] == ',') mn_writer_str(&writer, " ");
    }
    buf = mn_writer_done(&writer);
    text = ctl_show_span(ctl, mn_buf_span(buf));
    mn_buf_unref(buf);
    return text;
}

/* Never empty: a column must not vanish. */
static const char *cell(struct ctl *ctl, const struct json *item, const struct ctl_column *column)
{
    const struct json *value = ctl_find(item, column->key);
    struct mn_span text;
    const char *shown;

    if (value == NULL || value->type == JSON_NULL) return "-";
    text = value->type == JSON_STRING ? value->text : value->raw;
    if (ctl->format == CTL_PLAIN)
        shown = ctl_show_span(ctl, text);
    else if (value->type == JSON_ARRAY)
        shown = cell_list(ctl, text);
    else
        shown = cell_people(ctl, value, text, column);
    return *shown == '\0' ? "-" : shown;
}

static int utf8_width(const char *text)
{
    int width = 0;

    for (; *text != '\0'; text++)
        if (((unsigned char)*text & 0xc0) != 0x80) width++;
    return width;
}

/* ---- a table ---- */

static bool column_is_shown(const struct ctl *ctl, const struct ctl_column *column)
{
    return !column->is_wide || ctl->format == CTL_WIDE || ctl->format == CTL_PLAIN;
}

static void print_cell(struct ctl *ctl, const char *text, int width, bool has_colour)
{
    fprintf(ctl->out, "%s%s%s", has_colour ? ctl_colour(ctl, text) : "", text,
            has_colour ? ctl_colour_end(ctl) : "");
    for (int pad = utf8_width(text); pad < width; pad++)
        putc(' ', ctl->out);
}

/* [cells] of the shown columns; the last one is not padded. */
static void print_row(struct ctl *ctl, const char *const *cells,
                      const struct ctl_column *const *columns, size_t count, const int *widths,
                      bool is_title)
{
    for (size_t i = 0; i < count; i++) {
        bool is_last = i + 1 == count, is_plain = ctl->format == CTL_PLAIN;
        print_cell(ctl, cells[i], is_plain || is_last ? 0 : widths[i],
                   !is_title && columns[i]->as == CTL_AS_STATE);
        fputs(is_last ? "\n" : is_plain ? "\t" : "  ", ctl->out);
    }
}

static void print_table(struct ctl *ctl, const struct json *items, const struct ctl_column *columns,
                        size_t columns_count)
{
    const struct ctl_column *shown[COLUMNS_MAX];
    const char **cells =
        mn_arena_alloc(&ctl->arena, ((size_t)items->count + 1) * columns_count * sizeof *cells);
    int widths[COLUMNS_MAX] = {0};
    size_t count = 0, row = 0;

    for (size_t i = 0; i < columns_count && count < COLUMNS_MAX; i++)
        if (column_is_shown(ctl, &columns[i])) shown[count++] = &columns[i];
    for (const struct json *item = json_first(items); item != NULL; item = json_next(items, item)) {
        for (size_t i = 0; i < count; i++) {
            int width = utf8_width(cells[row * count + i] = cell(ctl, item, shown[i]));
            if (width > widths[i]) widths[i] = width;
        }
        row++;
    }
    if (ctl->format != CTL_PLAIN && !ctl->is_quiet) {
        const char *titles[COLUMNS_MAX];
        for (size_t i = 0; i < count; i++) {
            titles[i] = shown[i]->title;
            if (utf8_width(titles[i]) > widths[i]) widths[i] = utf8_width(titles[i]);
        }
        print_row(ctl, titles, shown, count, widths, true);
    }
    for (size_t i = 0; i < row; i++)
        print_row(ctl, &cells[i * count], shown, count, widths, false);
}

void ctl_print_rows(struct ctl *ctl, const struct json *items, const struct ctl_column *columns,
                    size_t columns_count)
{
    print_table(ctl, items, columns, columns_count);
}

/* What could not be asked is said beside the result. */
static int tell_missing(struct ctl *ctl, const struct json *root)
{
    const struct json *missing = json_find_str(root, "missing");
    const char *names = "";

    if (!json_is(missing, JSON_ARRAY) || missing->count == 0) return CTL_OK;
    for (const struct json *item = json_first(missing); item != NULL;
         item = json_next(missing, item))
        names = mn_arena_format(&ctl->arena, "%s%s%s", names, *names == '\0' ? "" : ", ",
                                ctl_show_span(ctl, json_text(item)));
    return ctl_error(ctl, CTL_PARTIAL, "partial", "meshctl nodes", "did not answer: %s", names);
}

int ctl_print_list(struct ctl *ctl, const struct json *root, const struct ctl_column *columns,
                   size_t columns_count)
{
    const struct json *items = json_find_str(root, "items");

    if (!json_is(items, JSON_ARRAY))
        return ctl_error(ctl, CTL_FAILED, "bad_answer", "is it a meshnode? meshctl doctor",
                         "the answer is no list");
    if (ctl->format == CTL_JSON)
        ctl_print_json(ctl, root);
    else if (ctl->format != CTL_JSONL)
        print_table(ctl, items, columns, columns_count);
    else
        for (const struct json *item = json_first(items); item != NULL;
             item = json_next(items, item))
            ctl_print_json(ctl, item);
    return tell_missing(ctl, root);
}

/* ---- one object ---- */

static void print_members(struct ctl *ctl, const struct json *object, int indent)
{
    for (const struct json *key = json_first(object); key != NULL; key = json_next(object, key)) {
        const struct json *value = json_value(key);
        const char *name = ctl_show_span(ctl, key->text);
        if (indent == 0 && (strcmp(name, "api") == 0 || strcmp(name, "kind") == 0)) continue;
        fprintf(ctl->out, "%*s%s:", indent, "", name);
        if (value->type == JSON_OBJECT && value->count > 0) {
            putc('\n', ctl->out);
            print_members(ctl, value, indent + 2);
            continue;
        }
        fprintf(ctl->out, " %s\n",
                ctl_show_span(ctl, value->type == JSON_STRING ? value->text : value->raw));
    }
}

int ctl_print_object(struct ctl *ctl, const struct json *object)
{
    if (ctl_wants_json(ctl))
        ctl_print_json(ctl, object);
    else
        print_members(ctl, object, 0);
    return CTL_OK;
}

void ctl_print_json(struct ctl *ctl, const struct json *value)
{
    fwrite(value->raw.data, 1, value->raw.size, ctl->out);
    putc('\n', ctl->out);
}

int ctl_print_done(struct ctl *ctl, const struct json *root, const char *format, ...)
{
    va_list args;

    if (ctl_wants_json(ctl)) {
        ctl_print_json(ctl, root);
    } else if (!ctl->is_quiet) {
        va_start(args, format);
        vfprintf(ctl->err, format, args);
        va_end(args);
        putc('\n', ctl->err);
    }
    return CTL_OK;
}

/* ---- JSON of our own ---- */

void ctl_json_begin(struct mn_writer *writer, const char *kind)
{
    mn_writer_format(writer, "{\"api\":\"meshctl/v1\",\"kind\":\"%s\"", kind);
}

void ctl_json_str(struct mn_writer *writer, const char *key, const char *text)
{
    mn_writer_format(writer, ",\"%s\":", key);
    if (text == NULL)
        mn_writer_str(writer, "null");
    else
        json_write_string(writer, mn_span_str(text));
}

void ctl_json_end(struct ctl *ctl, struct mn_writer *writer)
{
    struct mn_buf *line;

    mn_writer_str(writer, "}\n");
    line = mn_writer_done(writer);
    fwrite(line->bytes, 1, line->size, ctl->out);
    mn_buf_unref(line);
}

/* ---- again and again ---- */

int ctl_watch(struct ctl *ctl, int (*once)(struct ctl *ctl))
{
    int status;

    do {
        if (ctl->is_watching && ctl->is_terminal) fputs("\033[H\033[2J", ctl->out);
        status = once(ctl);
        fflush(ctl->out);
        if (ctl->is_watching) {
            mn_arena_reset(&ctl->arena);
            sleep(2);
        }
    } while (ctl->is_watching && !ferror(ctl->out) &&
             (status == CTL_OK || status == CTL_UNREACHABLE || status == CTL_TIMEOUT ||
              status == CTL_PARTIAL));
    return status;
}
