/* Stories as text, and how a failing one becomes short. */
#include <check.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/memory.h"
#include "sim/common/shrink.h"
#include "tests/suite.h"

enum kind { CRASH, CUT, OP, KINDS };

static const char *const names[KINDS] = {"crash", "cut", "op"};
static const struct story_words words = {"testsim", names, KINDS};

/* ---- text ---- */

static mn_status read_text(const char *text, struct story *ret, uint32_t *line)
{
    char path[] = "/tmp/test_story.XXXXXX";
    int file = mkstemp(path);
    mn_status status;

    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(write(file, text, strlen(text)), (ssize_t)strlen(text));
    close(file);
    *ret = (struct story){0};
    status = story_read(path, &words, ret, line);
    unlink(path);
    return status;
}

START_TEST(what_is_written_is_read_back)
{
    struct story story = {.seed = UINT64_MAX, .faults_for = 5, .quiet_for = 6, .hosts_count = 7};
    struct story back;
    char *text = NULL;
    size_t size;
    uint32_t line;
    FILE *file = open_memstream(&text, &size);

    story.left_out = 9;
    story_note(&story, 10, CUT, 3, UINT64_MAX - 1);
    story_note(&story, 20, OP, 0, 1);
    fprintf(file, "# what it was about\n");
    story_write(&story, &words, file);
    fclose(file);
    ck_assert_int_eq(read_text(text, &back, &line), MN_OK);
    ck_assert_uint_eq(back.seed, story.seed);
    ck_assert_uint_eq(back.faults_for, 5);
    ck_assert_uint_eq(back.quiet_for, 6);
    ck_assert_uint_eq(back.hosts_count, 7);
    ck_assert_uint_eq(back.left_out, 9);
    ck_assert_uint_eq(back.count, 2);
    ck_assert_uint_eq(back.items[0].kind, CUT);
    ck_assert_uint_eq(back.items[0].seed, UINT64_MAX - 1);
    ck_assert_uint_eq(back.items[1].at, 20);
    story_done(&story);
    story_done(&back);
    free(text);
}
END_TEST

START_TEST(what_is_no_story_is_refused_with_its_line)
{
    struct story story;
    uint32_t line;

    ck_assert_int_eq(read_text("", &story, &line), MN_MALFORMED);
    ck_assert_int_eq(read_text("raftsim story\n", &story, &line), MN_MALFORMED);
    ck_assert_int_eq(read_text("testsim story\nseed 1\n5 flood 0 1\n", &story, &line),
                     MN_MALFORMED);
    ck_assert_uint_eq(line, 3);
    ck_assert_int_eq(read_text("testsim story\n5 cut 0 1 more\n", &story, &line), MN_MALFORMED);
    ck_assert_uint_eq(line, 2);
    story_done(&story);
    ck_assert_int_eq(story_read("/nonexistent", &words, &story, &line), MN_IO);
}
END_TEST

/* ---- shortening ---- */

static bool has_abort; /* the failure is a failed assertion */

/* Fails when two certain cuts and a certain operation come together, on four hosts or more. */
static bool is_bad(const struct story *story)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < story->count; i++) {
        if (story->items[i].kind == CUT && story->items[i].seed == 7) found |= 1;
        if (story->items[i].kind == CUT && story->items[i].seed == 91) found |= 2;
        if (story->items[i].kind == OP && story->items[i].seed == 41) found |= 4;
    }
    return found == 7 && story->hosts_count >= 4 && (story->left_out & 2) == 0;
}

static bool run(struct campaign *campaign, struct campaign_run *run)
{
    (void)campaign;
    if (!run->is_told) {
        run->notes->hosts_count = 6;
        for (uint32_t i = 0; i < 100; i++)
            story_note(run->notes, (i + 1) * MN_SEC, i % 3, 0, i);
    }
    if (run->is_told ? !is_bad(&run->story) : run->story.seed != 3) return true;
    MN_ASSERT(!has_abort);
    strcpy(run->failure, "agreement: gone");
    return false;
}

static const struct campaign_kind kind = {.words = {"testsim", names, KINDS},
                                          .ops_from = OP,
                                          .hosts_min = 3,
                                          .lasting_count = 3,
                                          .run = run};

static void shorten(void)
{
    struct campaign campaign = {.kind = &kind};
    struct campaign_run healthy = {.story.seed = 2}, bad = {.story.seed = 3};
    struct story story = {0};
    char failure[256];

    bad.story.faults_for = 101 * MN_SEC;
    ck_assert_int_eq(shrink_seed(&campaign, &healthy, &story, failure), SHRINK_HELD);
    ck_assert_int_eq(shrink_seed(&campaign, &bad, &story, failure), SHRINK_SHORTENED);
    ck_assert_ptr_nonnull(strstr(failure, has_abort ? "!has_abort" : "agreement: gone"));
    ck_assert_uint_eq(story.count, 3);
    ck_assert_uint_eq(story.items[0].seed, 7);
    ck_assert_uint_eq(story.items[1].seed, 41);
    ck_assert_uint_eq(story.items[2].seed, 91);
    ck_assert_uint_eq(story.hosts_count, 4);
    ck_assert_uint_eq(story.left_out, 5); /* the second thing that lasts is needed */
    ck_assert_uint_lt(story.faults_for, 100 * MN_MS);
    story_done(&story);
}

START_TEST(only_what_it_takes_is_left)
{
    has_abort = false;
    shorten();
}
END_TEST

START_TEST(a_failed_assertion_is_shortened_too)
{
    has_abort = true;
    shorten();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("story");
    TCase *tcase = tcase_create("story");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, what_is_written_is_read_back);
    tcase_add_test(tcase, what_is_no_story_is_refused_with_its_line);
    tcase_add_test(tcase, only_what_it_takes_is_left);
    tcase_add_test(tcase, a_failed_assertion_is_shortened_too);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
