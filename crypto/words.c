#include "crypto/words.h"

#include "crypto/digest.h"
#include "crypto/words_list.h"

#define WORD_BITS 11
#define WORD_UNIQUE 4 /* letters that tell all words apart */

_Static_assert(1 << WORD_BITS == WORDS_LIST_COUNT, "a word is eleven bits");
_Static_assert(WORDS_TEXT_SIZE == WORDS_COUNT * WORDS_LIST_SIZE, "words and what is between");

static void words_indices(struct mn_span value, uint16_t ret[WORDS_COUNT])
{
    uint8_t hash[16];
    struct digest digest;
    uint32_t bit = 0;

    digest_begin(&digest, DIGEST_WORDS, sizeof hash);
    digest_variable(&digest, value);
    digest_end(&digest, hash);
    for (uint32_t i = 0; i < WORDS_COUNT; i++) {
        ret[i] = 0;
        for (uint32_t j = 0; j < WORD_BITS; j++, bit++)
            ret[i] = (uint16_t)(ret[i] << 1 | (hash[bit / 8] >> (7 - bit % 8) & 1));
    }
}

char *words_of(struct mn_span value, char ret[WORDS_TEXT_SIZE])
{
    uint16_t indices[WORDS_COUNT];
    char *to = ret;

    words_indices(value, indices);
    for (uint32_t i = 0; i < WORDS_COUNT; i++) {
        const char *word = words_list[indices[i]];
        if (i > 0) *to++ = ' ';
        while (*word != '\0')
            *to++ = *word++;
    }
    *to = '\0';
    return ret;
}

static uint8_t words_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool words_is_letter(uint8_t c)
{
    return words_lower(c) >= 'a' && words_lower(c) <= 'z';
}

static bool words_is_between(uint8_t c)
{
    return c == ' ' || c == '\t' || c == ',' || c == '-';
}

/* Takes the next run of letters off [text]; empty: something else stands there, or nothing. */
static struct mn_span words_next(struct mn_span *text)
{
    struct mn_span word;
    size_t begin = 0, end;

    while (begin < text->size && words_is_between(text->data[begin]))
        begin++;
    end = begin;
    while (end < text->size && words_is_letter(text->data[end]))
        end++;
    word = mn_span(text->data + begin, end - begin);
    *text = mn_span(text->data + end, text->size - end);
    return word;
}

/* [typed] is the word, or its beginning of four letters and more. */
static bool words_equal(struct mn_span typed, const char *word)
{
    size_t size = 0;

    while (size < typed.size && word[size] != '\0' && words_lower(typed.data[size]) == word[size])
        size++;
    if (size != typed.size) return false;
    return word[size] == '\0' || size >= WORD_UNIQUE;
}

bool words_match(struct mn_span text, struct mn_span value)
{
    uint16_t indices[WORDS_COUNT];

    if (text.size == 0) return false;
    words_indices(value, indices);
    for (uint32_t i = 0; i < WORDS_COUNT; i++) {
        struct mn_span typed = words_next(&text);
        if (typed.size == 0 || !words_equal(typed, words_list[indices[i]])) return false;
    }
    while (text.size > 0 && words_is_between(text.data[0]))
        text = mn_span(text.data + 1, text.size - 1);
    return text.size == 0;
}
