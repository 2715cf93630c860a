/* Words for people: from the list, all eight needed, typed as people type. */
#include <check.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/words.h"
#include "crypto/words_list.h"
#include "proto/base/memory.h"
#include "tests/suite.h"

START_TEST(words_of_the_list_differ_in_four_letters)
{
    for (unsigned i = 0; i < WORDS_LIST_COUNT; i++) {
        size_t size = strlen(words_list[i]);
        ck_assert_uint_ge(size, 3);
        ck_assert_uint_eq(strspn(words_list[i], "abcdefghijklmnopqrstuvwxyz"), size);
        if (i > 0) ck_assert_int_lt(strcmp(words_list[i - 1], words_list[i]), 0);
        if (i > 0) ck_assert_int_ne(strncmp(words_list[i - 1], words_list[i], 4), 0);
    }
    ck_assert_str_eq(words_list[0], "abandon");
    ck_assert_str_eq(words_list[WORDS_LIST_COUNT - 1], "zoo");
}
END_TEST

START_TEST(words_are_eight_and_of_one_value_only)
{
    char words[WORDS_TEXT_SIZE], other[WORDS_TEXT_SIZE];
    unsigned blanks = 0;

    words_of(mn_span_str("value"), words);
    for (const char *at = words; *at != '\0'; at++)
        blanks += *at == ' ';
    ck_assert_uint_eq(blanks, WORDS_COUNT - 1);
    ck_assert_str_eq(words_of(mn_span_str("value"), other), words);
    ck_assert_str_ne(words_of(mn_span_str("valuf"), other), words);
    ck_assert(words_match(mn_span_str(words), mn_span_str("value")));
    ck_assert(!words_match(mn_span_str(words), mn_span_str("valuf")));
}
END_TEST

/* Each word cut to four letters, upper case, with other separators. */
START_TEST(words_may_be_typed_as_people_do)
{
    char words[WORDS_TEXT_SIZE], typed[2 * WORDS_TEXT_SIZE] = "  ";
    size_t size = 2;

    words_of(mn_span_str("value"), words);
    for (const char *word = words; *word != '\0';) {
        size_t length = strcspn(word, " ");
        for (size_t i = 0; i < length && i < 4; i++)
            typed[size++] = (char)(word[i] - 'a' + 'A');
        typed[size++] = '-';
        typed[size++] = ',';
        word += length + (word[length] == ' ');
    }
    typed[size] = '\0';
    ck_assert(words_match(mn_span_str(typed), mn_span_str("value")));
}
END_TEST

START_TEST(words_that_are_too_few_too_many_or_cut_short_do_not_match)
{
    char words[WORDS_TEXT_SIZE], text[2 * WORDS_TEXT_SIZE];
    const char *value = "value";

    words_of(mn_span_str(value), words);
    memcpy(text, words, sizeof words);
    *strrchr(text, ' ') = '\0';
    ck_assert(!words_match(mn_span_str(text), mn_span_str(value))); /* seven */
    memcpy(text, words, sizeof words);
    strcat(text, " zoo");
    ck_assert(!words_match(mn_span_str(text), mn_span_str(value))); /* nine */
    memcpy(text, words, sizeof words);
    strcat(text, "x");
    ck_assert(!words_match(mn_span_str(text), mn_span_str(value)));
    ck_assert(!words_match(mn_span_str(""), mn_span_str(value)));
    ck_assert(!words_match(mn_span_str("f92e3e65"), mn_span_str(value)));
    ck_assert(!words_match(mn_span_str(" , - "), mn_span_str(value)));
    memcpy(text, words, sizeof words);
    text[3] = '\0'; /* three letters of a longer word, or a single word */
    ck_assert(!words_match(mn_span_str(text), mn_span_str(value)));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("words");
    TCase *tcase = tcase_create("words");

    if (sodium_init() < 0) return EXIT_FAILURE;
    tcase_add_test(tcase, words_of_the_list_differ_in_four_letters);
    tcase_add_test(tcase, words_are_eight_and_of_one_value_only);
    tcase_add_test(tcase, words_may_be_typed_as_people_do);
    tcase_add_test(tcase, words_that_are_too_few_too_many_or_cut_short_do_not_match);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
