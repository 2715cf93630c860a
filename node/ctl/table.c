/* Lists of objects, for people or for programs. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/ctl/ctl.h"

#define CELL_MAX 512

const struct json *ctl_find(const struct json *object, const char *path)
{
    while (object != NULL && *path != '\0') {
        size_t size = strcspn(path, ".");
        object = json_find(object, mn_span(path, size));
        path += size + (path[size] == '.' ? 1 : 0);
    }
    return object;
}

bool ctl_is_true(const struct json *object, const char *path)
{
    return json_is_true(ctl_find(object, path));
}

long long ctl_number(const struct json *object, const char *path)
{
    const struct json *value = ctl_find(object, path);
    char text[32];
    double number = 0;

    if (!json_is(value, JSON_NUMBER) || value->raw.size >= sizeof text) return 0;
    memcpy(text, value->raw.data, value->raw.size);
    text[value->raw.size] = '\0';
    sscanf(text, "%lf", &number);
    return (long long)number;
}

struct mn_span ctl_string(const struct json *object, const char *path)
{
    return json_text(ctl_find(object, path));
}

/* 93 s as "1m", 3700 s as "1h1m": the two largest units, as kubectl has it. */
static void format_age(long long ms, char *buffer, size_t size)
{
    long long s = ms / 1000;

    if (s < 60)
        snprintf(buffer, size, "%llds", s);
    else if (s < 3600)
        snprintf(buffer, size, "%lldm%llds", s / 60, s % 60);
    else if (s < 86400)
        snprintf(buffer, size, "%lldh%lldm", s / 3600, s / 60 % 60);
    else
        snprintf(buffer, size, "%lldd%lldh", s / 86400, s / 3600 % 24);
}

/* Text of others may hold anything: control characters would move a terminal. */
static void make_printable(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f) *text = ' ';
}

const char *ctl_text(const struct json *object, const struct ctl_column *column, char *buffer,
                     size_t size)
{
    const struct json *value = ctl_find(object, column->key);
    struct mn_span text;

    if (value == NULL || value->type == JSON_NULL) {
        snprintf(buffer, size, "-");
        return buffer;
    }
    text = value->type == JSON_STRING ? value->text : value->raw;
    switch (column->as) {
    case CTL_AS_ID: snprintf(buffer, size, "%.8s", (const char *)text.data); break;
    case CTL_AS_MS:
        snprintf(buffer, size, "%.*s ms", (int)text.size, (const char *)text.data);
        break;
    case CTL_AS_AGE: format_age(ctl_number(object, column->key), buffer, size); break;
    case CTL_AS_BOOL: snprintf(buffer, size, "%s", json_is_true(value) ? "yes" : "no"); break;
    case CTL_AS_TEXT:
        snprintf(buffer, size, "%.*s", (int)text.size,
                 text.size > 0 ? (const char *)text.data : "");
        break;
    }
    if (buffer[0] == '\0') snprintf(buffer, size, "-");
    make_printable(buffer);
    return buffer;
}

void ctl_print_json(const struct json *value)
{
    fwrite(value->raw.data, 1, value->raw.size, stdout);
    putchar('\n');
}

static bool column_is_shown(const struct ctl *ctl, const struct ctl_column *column)
{
    return !column->is_wide || ctl->format == CTL_WIDE || ctl->format == CTL_PLAIN;
}

static int utf8_width(const char *text)
{
    int width = 0;

    for (; *text != '\0'; text++)
        if (((unsigned char)*text & 0xc0) != 0x80) width++;
    return width;
}

static void print_row(const struct ctl *ctl, const struct json *item,
                      const struct ctl_column *columns, size_t count, const int *widths)
{
    char cell[CELL_MAX];
    bool is_first = true;
    size_t last = count - 1;

    while (last > 0 && !column_is_shown(ctl, &columns[last]))
        last--;
    for (size_t i = 0; i < count; i++) {
        if (!column_is_shown(ctl, &columns[i])) continue;
        const char *text =
            item == NULL ? columns[i].title : ctl_text(item, &columns[i], cell, sizeof cell);
        if (!is_first) fputs(ctl->format == CTL_PLAIN ? "\t" : "  ", stdout);
        fputs(text, stdout);
        if (ctl->format != CTL_PLAIN && i != last)
            for (int pad = utf8_width(text); pad < widths[i]; pad++)
                putchar(' ');
        is_first = false;
    }
    putchar('\n');
}

static void print_table(const struct ctl *ctl, const struct json *items,
                        const struct ctl_column *columns, size_t count)
{
    int widths[32] = {0};
    char cell[CELL_MAX];

    for (size_t i = 0; i < count; i++) {
        widths[i] = utf8_width(columns[i].title);
        for (const struct json *item = json_first(items); item != NULL;
             item = json_next(items, item)) {
            int width = utf8_width(ctl_text(item, &columns[i], cell, sizeof cell));
            if (width > widths[i]) widths[i] = width;
        }
    }
    if (ctl->format != CTL_PLAIN && !ctl->is_quiet) print_row(ctl, NULL, columns, count, widths);
    for (const struct json *item = json_first(items); item != NULL; item = json_next(items, item))
        print_row(ctl, item, columns, count, widths);
}

void ctl_print_list(const struct ctl *ctl, const struct json *root,
                    const struct ctl_column *columns, size_t columns_count)
{
    const struct json *items = json_find_str(root, "items");

    if (ctl->format == CTL_JSON) {
        ctl_print_json(root);
    } else if (!json_is(items, JSON_ARRAY)) {
        return;
    } else if (ctl->format == CTL_JSONL) {
        for (const struct json *item = json_first(items); item != NULL;
             item = json_next(items, item))
            ctl_print_json(item);
    } else {
        print_table(ctl, items, columns, columns_count);
    }
}

int ctl_watch(struct ctl *ctl, int (*once)(struct ctl *ctl))
{
    int status;

    do {
        if (ctl->is_watching && isatty(STDOUT_FILENO)) fputs("\033[H\033[2J", stdout);
        status = once(ctl);
        fflush(stdout);
        mn_arena_reset(&ctl->arena);
        if (ctl->is_watching) sleep(2);
    } while (ctl->is_watching && (status == CTL_OK || status == CTL_UNREACHABLE));
    return status;
}
