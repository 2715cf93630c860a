/* The configuration that `meshnode init` writes can be read, as it is and with any line enabled. */
#include <check.h>
#include <stdlib.h>

#include "node/io/config.h"
#include "node/io/setup.h"
#include "tests/suite.h"

static mn_status read_back(struct mn_span text, const char *data)
{
    struct options options;
    struct options_error error = {.text = ""};
    options_init(&options, config_specs, CONFIG_COUNT);
    config_set_defaults(&options);
    mn_status status = config_parse(&options, "init", text, &error);
    ck_assert_msg(status == MN_OK, "%s\n%.*s", error.text, (int)text.size, (const char *)text.data);
    if (data != NULL) ck_assert_str_eq(options_text(&options, CONFIG_NODE_DATA), data);
    status = config_check(&options, &error);
    ck_assert_msg(status == MN_OK, "%s", error.text);
    options_done(&options);
    return status;
}

static struct mn_buf *written(const char *data)
{
    struct options options;
    struct mn_writer writer = {0};
    options_init(&options, config_specs, CONFIG_COUNT);
    config_set_defaults(&options);
    setup_write_config(&options, data, &writer);
    options_done(&options);
    return mn_writer_done(&writer);
}

START_TEST(what_init_writes_can_be_read)
{
    struct mn_buf *text = written(_i == 0 ? NULL : "/srv/data");
    ck_assert_int_eq(read_back(mn_buf_span(text), _i == 0 ? NULL : "/srv/data"), MN_OK);
    mn_buf_unref(text);
}
END_TEST

/* But for secrets, whose example names a file that is not there, and real comments. */
START_TEST(every_line_can_be_enabled)
{
    struct mn_buf *text = written(NULL);
    struct mn_writer enabled = {0};
    const char *end, *line = (const char *)text->bytes;
    for (; *line != '\0'; line = end + 1) {
        end = strchr(line, '\n');
        struct mn_span span = mn_span(line, (size_t)(end - line) + 1);
        bool is_secret = memmem(span.data, span.size, "${", 2) != NULL;
        bool is_text = strncmp(line, "# ", 2) == 0 && line[2] != ' ';
        if (line[0] == '#' && !is_secret && !is_text) span = mn_span(line + 1, span.size - 1);
        mn_writer_add(&enabled, span);
    }
    mn_buf_unref(text);
    text = mn_writer_done(&enabled);
    ck_assert_ptr_nonnull(memmem(text->bytes, text->size, "\ndev: false", 11));
    ck_assert_int_eq(read_back(mn_buf_span(text), NULL), MN_OK);
    mn_buf_unref(text);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("setup");
    tcase_add_loop_test(tcase, what_init_writes_can_be_read, 0, 2);
    tcase_add_test(tcase, every_line_can_be_enabled);
    Suite *suite = suite_create("setup");
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
