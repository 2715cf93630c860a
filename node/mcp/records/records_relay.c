/* Words for those that had a record before. A client was told that its word was taken (202), so it
 * is said until whom it is for confirms it: again after a moment, and at once when a node comes
 * that could not be reached. What comes twice is handed up twice; what it is about is over by then.
 */
#include "node/mcp/records/records_internal.h"
#include "proto/base/check.h"
#include "proto/pb.h"

struct records_word {
    struct mn_list in_words;    /* the oldest first */
    struct mn_heap_entry timer; /* the first of the following */
    mn_time retry_at, give_up_at;
    mn_time retry_delay;
    struct records_key key;
    uint64_t number;
    mn_id to[RECORDS_FORMER]; /* that have not confirmed it */
    uint32_t to_count;
    mn_time said_at;
    struct mn_buf *message;
};

static void word_free(struct records *records, struct records_word *word)
{
    records->words_size -= word->message->size;
    records->stats.words--;
    mn_list_remove(&word->in_words);
    mn_heap_remove(&records->word_timers, &word->timer);
    mn_buf_unref(word->message);
    mn_free(word);
}

static void word_give_up(struct records *records, struct records_word *word)
{
    records->stats.words_lost++;
    word_free(records, word);
}

static bool word_can_reach(const struct records *records, const mn_id *node)
{
    return records_is_among(records->nodes, records->nodes_count, node);
}

static void word_send(struct records *records, const struct records_word *word, const mn_id *to)
{
    Meshnode__Record__Packet packet = MESHNODE__RECORD__PACKET__INIT;
    Meshnode__Record__Relay relay = MESHNODE__RECORD__RELAY__INIT;

    relay.key = pb_bytes(records_key_span(&word->key));
    relay.message = pb_bytes(mn_buf_span(word->message));
    relay.number = word->number;
    relay.age = records->now.mono - word->said_at;
    packet.what_case = MESHNODE__RECORD__PACKET__WHAT_RELAY;
    packet.relay = &relay;
    records_emit_send(records, to, &packet, &word->key);
}

/* Who cannot be reached is not waited for by trying: it is told when it comes (or never). */
static void word_arm(struct records *records, struct records_word *word)
{
    mn_time at = word->give_up_at;

    for (uint32_t i = 0; i < word->to_count; i++)
        if (word_can_reach(records, &word->to[i])) at = mn_time_min(at, word->retry_at);
    mn_heap_set(&records->word_timers, &word->timer, at);
}

static void word_make_room(struct records *records, size_t size)
{
    while (records->stats.words >= RECORDS_WORDS_MAX ||
           records->words_size + size > RECORDS_WORDS_SIZE_MAX) {
        MN_PROBE("records: a word goes for another");
        word_give_up(records, MN_CONTAINER(records->words.next, struct records_word, in_words));
    }
}

void records_relay(struct records *records, const struct records_key *key, struct mn_span message,
                   mn_time said_at)
{
    const struct record *record = records_find(records, key);
    struct records_word *word;

    MN_ASSERT(message.size <= RECORDS_RELAY_MAX);
    MN_ASSERT(said_at <= records->now.mono);
    if (record == NULL || record->former_count == 0) return;
    word = mn_alloc(sizeof *word);
    word->key = *key;
    word->number = ++records->word_last;
    word->said_at = said_at;
    word->message = mn_buf_copy(message);
    word->to_count = record->former_count;
    memcpy(word->to, record->former, word->to_count * sizeof *word->to);
    word->give_up_at = mn_time_after(records->now.mono, RECORDS_RELAY_LIFE);
    word->retry_at = mn_time_after(records->now.mono, RECORDS_RETRY);
    word->retry_delay = 2 * RECORDS_RETRY;
    word_make_room(records, word->message->size);
    mn_list_push_back(&records->words, &word->in_words);
    records->words_size += word->message->size;
    records->stats.words++;
    for (uint32_t i = 0; i < word->to_count; i++)
        if (word_can_reach(records, &word->to[i])) word_send(records, word, &word->to[i]);
    word_arm(records, word);
}

void records_relay_on_nodes(struct records *records, const mn_id *old, uint32_t old_count)
{
    MN_LIST_FOR_EACH (link, &records->words) {
        struct records_word *word = MN_CONTAINER(link, struct records_word, in_words);
        for (uint32_t i = 0; i < word->to_count; i++) {
            if (!word_can_reach(records, &word->to[i]) ||
                records_is_among(old, old_count, &word->to[i]))
                continue;
            MN_PROBE("records: a word for a node that was away");
            word_send(records, word, &word->to[i]);
            word->retry_at = mn_time_after(records->now.mono, RECORDS_RETRY);
            word->retry_delay = 2 * RECORDS_RETRY;
        }
        word_arm(records, word);
    }
}

void records_relay_confirmed(struct records *records, const mn_id *from,
                             const struct records_key *key, uint64_t number)
{
    MN_LIST_FOR_EACH_SAFE (link, &records->words) {
        struct records_word *word = MN_CONTAINER(link, struct records_word, in_words);
        if (word->number != number || memcmp(&word->key, key, sizeof *key) != 0) continue;
        for (uint32_t i = word->to_count; i > 0; i--)
            if (mn_id_equal(&word->to[i - 1], from)) word->to[i - 1] = word->to[--word->to_count];
        if (word->to_count == 0)
            word_free(records, word);
        else
            word_arm(records, word);
        return;
    }
}

void records_relay_on_time(struct records *records)
{
    mn_time now = records->now.mono;

    while (mn_heap_deadline(&records->word_timers) <= now) {
        struct records_word *word =
            MN_CONTAINER(mn_heap_peek(&records->word_timers), struct records_word, timer);
        if (word->give_up_at <= now) {
            MN_PROBE("records: a word that nobody took");
            word_give_up(records, word);
            continue;
        }
        for (uint32_t i = 0; i < word->to_count; i++)
            if (word_can_reach(records, &word->to[i])) word_send(records, word, &word->to[i]);
        word->retry_at = mn_time_after(now, word->retry_delay);
        word->retry_delay = mn_time_min(2 * word->retry_delay, RECORDS_RETRY_MAX);
        word_arm(records, word);
    }
}

void records_relay_done(struct records *records)
{
    while (!mn_list_is_empty(&records->words))
        word_free(records, MN_CONTAINER(records->words.next, struct records_word, in_words));
    mn_heap_done(&records->word_timers);
}

void records_relay_check(const struct records *records)
{
    uint32_t count = 0;
    size_t size = 0;

    MN_LIST_FOR_EACH (link, &records->words) {
        const struct records_word *word = MN_CONTAINER(link, struct records_word, in_words);
        MN_ASSERT(word->to_count > 0 && word->to_count <= RECORDS_FORMER);
        MN_ASSERT(word->timer.index_plus_one != 0 && word->timer.at <= word->give_up_at);
        count++;
        size += word->message->size;
    }
    MN_ASSERT(count == records->stats.words && count <= RECORDS_WORDS_MAX);
    MN_ASSERT(count == records->word_timers.count);
    MN_ASSERT(size == records->words_size && size <= RECORDS_WORDS_SIZE_MAX);
}
