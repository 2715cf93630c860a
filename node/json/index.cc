// The only C++ of the project: simdjson has no C interface. No exception crosses the border, since
// none can arise: simdjson reports codes, and memory failure stops the process. Memory is that of
// the base, whose headers are C only; its three names are declared here.
#include "node/json/index.h"

#include <memory>
#include <new>

#include <simdjson.h>

extern "C" {
void *mn_alloc(size_t size);
void mn_free(void *memory);
[[noreturn]] void mn_assert_failed(const char *condition, const char *file, int line);
}

namespace
{
constexpr size_t kCapacityMin = 1024;       // bytes of text
constexpr size_t kCapacityKept = 1u << 18;  // more than that is given back
constexpr size_t kCapacityMax = 0xffffff00; // positions are 32 bits
constexpr size_t kDepth = 1;                // of simdjson's second stage, which is not used
} // namespace

struct json_index {
    std::unique_ptr<simdjson::internal::dom_parser_implementation> parser;
};

static void create(struct json_index *index, size_t capacity)
{
    if (simdjson::get_active_implementation()->create_dom_parser_implementation(
            capacity, kDepth, index->parser) != simdjson::SUCCESS)
        mn_assert_failed("memory for the token finder", __FILE__, __LINE__);
}

struct json_index *json_index_new(void)
{
    auto *index = new (mn_alloc(sizeof(json_index))) json_index;
    create(index, kCapacityMin);
    return index;
}

void json_index_free(struct json_index *index)
{
    if (index == nullptr) return;
    index->~json_index();
    mn_free(index);
}

bool json_index_find(struct json_index *index, const uint8_t *text, size_t size,
                     const uint32_t **positions, uint32_t *positions_count)
{
    if (size == 0 || size > kCapacityMax) return false;
    if (size > index->parser->capacity()) {
        size_t capacity = index->parser->capacity();
        while (capacity < size)
            capacity *= 2;
        create(index, capacity < kCapacityMax ? capacity : kCapacityMax);
    }
    if (index->parser->stage1(text, size, simdjson::stage1_mode::regular) != simdjson::SUCCESS)
        return false;
    // There is room: simdjson itself uses the places behind the last one.
    index->parser->structural_indexes[index->parser->n_structural_indexes] =
        static_cast<uint32_t>(size);
    *positions = index->parser->structural_indexes.get();
    *positions_count = index->parser->n_structural_indexes;
    return true;
}

void json_index_trim(struct json_index *index)
{
    if (index->parser->capacity() > kCapacityKept) create(index, kCapacityMin);
}
