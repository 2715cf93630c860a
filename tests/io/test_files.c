/* The data directory is ours alone, and secrets in it are read by nobody else. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/io/files.h"
#include "tests/suite.h"

static char root[64], path[256];
static struct files *files;
static struct files_error error;
static const uint8_t fresh[4] = {1, 2, 3, 4};

static void setup(void)
{
    snprintf(root, sizeof root, "/tmp/meshnode-files-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    snprintf(path, sizeof path, "%s/a/b/data", root);
    ck_assert_msg(files_open(path, &files, &error) == MN_OK, "%s", error.text);
}

static void teardown(void)
{
    char command[128];
    files_close(files);
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    ck_assert_int_eq(system(command), 0);
}

static uint32_t mode_of(const char *name)
{
    struct stat info;
    ck_assert_int_eq(stat(name, &info), 0);
    return info.st_mode & 07777u;
}

START_TEST(the_directory_is_made_and_closed_to_others)
{
    ck_assert_uint_eq(mode_of(path), 0700);
    files_close(files);
    chmod(path, 0755);
    ck_assert_int_eq(files_open(path, &files, &error), MN_OK);
    ck_assert_uint_eq(mode_of(path), 0700);
}
END_TEST

START_TEST(a_second_process_is_refused_and_told_who_holds_it)
{
    pid_t child = fork();
    if (child == 0) {
        struct files *second;
        char expected[64];
        snprintf(expected, sizeof expected, "is in use by process %d", (int)getppid());
        mn_status status = files_open(path, &second, &error);
        _exit(status == MN_BUSY && strstr(error.text, expected) != NULL ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(a_secret_is_made_once_and_read_again)
{
    uint8_t got[4] = {0}, other[4] = {9, 9, 9, 9};
    bool is_new = false;
    ck_assert_int_eq(files_secret(files, "identity.key", fresh, 4, got, &is_new, &error), MN_OK);
    ck_assert(is_new);
    ck_assert_mem_eq(got, fresh, 4);
    ck_assert_uint_eq(mode_of(files_path(files, "identity.key")), 0600);
    ck_assert_int_eq(files_secret(files, "identity.key", other, 4, got, &is_new, &error), MN_OK);
    ck_assert(!is_new);
    ck_assert_mem_eq(got, fresh, 4);
}
END_TEST

static mn_status read_secret(void)
{
    uint8_t got[4];
    bool is_new;
    return files_secret(files, "identity.key", fresh, 4, got, &is_new, &error);
}

START_TEST(a_secret_that_others_may_read_is_refused)
{
    static const mode_t modes[] = {0640, 0604, 0620, 0601};
    ck_assert_int_eq(read_secret(), MN_OK);
    chmod(files_path(files, "identity.key"), modes[_i]);
    ck_assert_int_eq(read_secret(), MN_DENIED);
    ck_assert_ptr_nonnull(strstr(error.text, "others may read it"));
}
END_TEST

START_TEST(a_link_a_directory_and_a_wrong_size_are_refused)
{
    char target[300];
    snprintf(target, sizeof target, "%s/elsewhere", root);
    ck_assert_int_eq(symlink(target, files_path(files, "identity.key")), 0);
    ck_assert_int_eq(read_secret(), MN_DENIED);
    unlink(files_path(files, "identity.key"));
    mkdir(files_path(files, "identity.key"), 0700);
    ck_assert_int_eq(read_secret(), MN_DENIED);
    rmdir(files_path(files, "identity.key"));
    ck_assert_int_eq(files_write(files, "identity.key", mn_span_str("abc"), &error), MN_OK);
    ck_assert_int_eq(read_secret(), MN_DENIED);
    ck_assert_ptr_nonnull(strstr(error.text, "has 3 bytes instead of 4"));
}
END_TEST

START_TEST(a_secret_of_another_user_is_refused)
{
    ck_assert_int_eq(read_secret(), MN_OK);
    if (chown(files_path(files, "identity.key"), 12345, (gid_t)-1) != 0) return; /* needs root */
    ck_assert_int_eq(read_secret(), MN_DENIED);
    ck_assert_ptr_nonnull(strstr(error.text, "belongs to user 12345"));
}
END_TEST

START_TEST(files_are_replaced_whole_and_removed)
{
    struct mn_buf *text = NULL;
    ck_assert_int_eq(files_write(files, "run.json", mn_span_str("one"), &error), MN_OK);
    ck_assert_int_eq(files_write(files, "run.json", mn_span_str("second"), &error), MN_OK);
    ck_assert_int_eq(files_read(files_path(files, "run.json"), 100, &text), MN_OK);
    ck_assert(mn_span_is(mn_buf_span(text), "second"));
    mn_buf_unref(text);
    ck_assert(!files_exists(files, "run.json.new"));
    ck_assert_uint_eq(mode_of(files_path(files, "run.json")), 0600);
    ck_assert_int_eq(files_write(files, "run.json", mn_span(NULL, 0), &error), MN_OK);
    ck_assert(!files_exists(files, "run.json"));
    ck_assert_int_eq(files_write(files, "run.json", mn_span(NULL, 0), &error), MN_OK);
}
END_TEST

START_TEST(reading_is_bounded)
{
    struct mn_buf *text = NULL;
    ck_assert_int_eq(files_write(files, "x", mn_span_str("12345"), &error), MN_OK);
    ck_assert_int_eq(files_read(files_path(files, "x"), 4, &text), MN_TOO_BIG);
    ck_assert_int_eq(files_read(files_path(files, "x"), 5, &text), MN_OK);
    mn_buf_unref(text);
    ck_assert_int_eq(files_read(files_path(files, "y"), 5, &text), MN_NOT_FOUND);
    ck_assert_int_eq(files_read(path, 5, &text), MN_IO); /* a directory */
    ck_assert_int_eq(files_read("/dev/zero", 100, &text), MN_TOO_BIG);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("files");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, the_directory_is_made_and_closed_to_others);
    tcase_add_test(tcase, a_second_process_is_refused_and_told_who_holds_it);
    tcase_add_test(tcase, a_secret_is_made_once_and_read_again);
    tcase_add_loop_test(tcase, a_secret_that_others_may_read_is_refused, 0, 4);
    tcase_add_test(tcase, a_link_a_directory_and_a_wrong_size_are_refused);
    tcase_add_test(tcase, a_secret_of_another_user_is_refused);
    tcase_add_test(tcase, files_are_replaced_whole_and_removed);
    tcase_add_test(tcase, reading_is_bounded);
    Suite *suite = suite_create("files");
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
