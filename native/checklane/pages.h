/* Whether a file of LMDB's is as long as its newest root believes: each page that can be reached
 * must lie within the file. LMDB maps the file and does not look, so that one which was cut short
 * opens well and ends the process with SIGBUS at the first touch of a page that is gone.
 *
 * Nearly always the last page's number tells. A file may be shorter than that and whole, when its
 * last pages were taken and given back by one transaction: they are never written. Only then the
 * trees are walked, with reads of the file and not through its map.
 *
 * LMDB's data format 1 on 64 bits: a page is a head of 16 bytes and the offsets of its nodes, or a
 * head and the bytes of one large value; page 0 and 1 hold the two roots, the newer one counts. */
#ifndef CHECKLANE_PAGES_H
#define CHECKLANE_PAGES_H

#include <errno.h>
#include <lmdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

#define PAGES_MAGIC 0xBEEFC0DEu
#define PAGES_BRANCH 0x01
#define PAGES_LEAF 0x02
#define PAGES_NODE_LARGE 0x01
#define PAGES_NODE_TREE 0x02
#define PAGES_NONE UINT64_MAX
/* Levels below a root. LMDB's own cursors hold 32. */
#define PAGES_DEPTH_MAX 64
#define PAGES_BYTES_MIN 512
#define PAGES_BYTES_MAX (64 * 1024)

typedef struct page_head {
    uint64_t number;
    uint16_t reserved;
    uint16_t flags;
    uint16_t lower; /* end of the offsets; of a large value: low half of its count of pages */
    uint16_t upper;
} page_head_t;
_Static_assert(sizeof(page_head_t) == 16, "LMDB's MDB_page");

typedef struct page_node {
    uint16_t low; /* of the value's size, or of the page below */
    uint16_t high;
    uint16_t flags; /* of the page below: its bits from 32 on */
    uint16_t key_bytes;
} page_node_t;
_Static_assert(sizeof(page_node_t) == 8, "LMDB's MDB_node");

typedef struct page_tree {
    uint32_t page_bytes; /* in the first tree of a root; else of no use here */
    uint16_t flags;
    uint16_t depth;
    uint64_t counts[4];
    uint64_t root;
} page_tree_t;
_Static_assert(sizeof(page_tree_t) == 48, "LMDB's MDB_db");

typedef struct page_root {
    page_head_t head;
    uint32_t magic;
    uint32_t version;
    uint64_t map[2];
    page_tree_t trees[2]; /* of free pages; of everything */
    uint64_t last_page;
    uint64_t transaction;
} page_root_t;
_Static_assert(sizeof(page_root_t) == 152, "a page's head and LMDB's MDB_meta");

typedef struct pages {
    const machine_t *machine;
    int64_t file;
    uint64_t page_bytes;
    uint64_t page_count; /* whole pages of the file */
    uint64_t looks_left; /* a walk that looks at more than there are goes in a circle */
} pages_t;

/* Reads one page. MDB_PAGE_NOTFOUND where the file has no such page, or another in its place. */
static inline int pages_read(pages_t *pages, uint64_t number, uint8_t *bytes)
{
    if (number >= pages->page_count || pages->looks_left == 0) return MDB_PAGE_NOTFOUND;
    pages->looks_left--;
    const machine_t *machine = pages->machine;
    int error = machine->read_at(machine->context, pages->file, bytes, pages->page_bytes,
                                 number * pages->page_bytes);
    if (error != 0) return error;
    page_head_t head;
    memcpy(&head, bytes, sizeof head);
    return head.number == number ? 0 : MDB_PAGE_NOTFOUND;
}

static inline int pages_walk(pages_t *pages, uint64_t number, uint32_t depth);

/* Looks at what a node of a leaf has elsewhere: a large value, or a tree. */
static inline int pages_leaf_node(pages_t *pages, const uint8_t *bytes, const page_node_t *node,
                                  uint64_t at, uint32_t depth)
{
    uint64_t value = at + sizeof *node + node->key_bytes;
    if ((node->flags & PAGES_NODE_LARGE) != 0) {
        uint64_t number;
        if (value + sizeof number > pages->page_bytes) return MDB_PAGE_NOTFOUND;
        memcpy(&number, bytes + value, sizeof number);
        uint64_t size = node->low | (uint64_t)node->high << 16;
        uint64_t count = (sizeof(page_head_t) + size + pages->page_bytes - 1) / pages->page_bytes;
        if (number >= pages->page_count) return MDB_PAGE_NOTFOUND;
        return count <= pages->page_count - number ? 0 : MDB_PAGE_NOTFOUND;
    }
    if ((node->flags & PAGES_NODE_TREE) == 0) return 0;
    page_tree_t tree;
    if (value + sizeof tree > pages->page_bytes) return MDB_PAGE_NOTFOUND;
    memcpy(&tree, bytes + value, sizeof tree);
    return pages_walk(pages, tree.root, depth + 1);
}

static inline int pages_nodes(pages_t *pages, const uint8_t *bytes, uint32_t depth)
{
    page_head_t head;
    memcpy(&head, bytes, sizeof head);
    if ((head.flags & (PAGES_BRANCH | PAGES_LEAF)) == 0) return MDB_PAGE_NOTFOUND;
    if (head.lower < sizeof head || head.lower > pages->page_bytes) return MDB_PAGE_NOTFOUND;
    int error = 0;
    for (uint64_t at = sizeof head; at + 2 <= head.lower && error == 0; at += 2) {
        uint16_t offset;
        page_node_t node;
        memcpy(&offset, bytes + at, sizeof offset);
        if (offset + sizeof node > pages->page_bytes) return MDB_PAGE_NOTFOUND;
        memcpy(&node, bytes + offset, sizeof node);
        if ((head.flags & PAGES_LEAF) != 0) {
            error = pages_leaf_node(pages, bytes, &node, offset, depth);
        } else {
            uint64_t below = node.low | (uint64_t)node.high << 16 | (uint64_t)node.flags << 32;
            error = pages_walk(pages, below, depth + 1);
        }
    }
    return error;
}

static inline int pages_walk(pages_t *pages, uint64_t number, uint32_t depth)
{
    if (number == PAGES_NONE) return 0;
    if (depth > PAGES_DEPTH_MAX) return MDB_PAGE_NOTFOUND;
    uint8_t *bytes = malloc(pages->page_bytes);
    if (bytes == NULL) return ENOMEM;
    int error = pages_read(pages, number, bytes);
    if (error == 0) error = pages_nodes(pages, bytes, depth);
    free(bytes);
    return error;
}

/* Reads the newer of the two roots. */
static inline int pages_newest_root(const pages_t *pages, page_root_t *newest)
{
    const machine_t *machine = pages->machine;
    page_root_t roots[2];
    int error = machine->read_at(machine->context, pages->file, &roots[0], sizeof roots[0], 0);
    if (error != 0) return error;
    uint64_t page_bytes = roots[0].trees[0].page_bytes;
    if (page_bytes < PAGES_BYTES_MIN || page_bytes > PAGES_BYTES_MAX) return MDB_INVALID;
    error = machine->read_at(machine->context, pages->file, &roots[1], sizeof roots[1],
                             page_bytes);
    if (error != 0) return error;
    if (roots[0].magic != PAGES_MAGIC || roots[1].magic != PAGES_MAGIC) return MDB_INVALID;
    *newest = roots[roots[1].transaction > roots[0].transaction];
    newest->trees[0].page_bytes = (uint32_t)page_bytes;
    return 0;
}

/* Returns 0 where the file at `path` has every page that its newest root reaches, which must stay
 * meanwhile: the caller has a transaction on it. MDB_PAGE_NOTFOUND where one is missing, an error
 * of the system's where the file cannot be read. Costs three reads, or one for each page. */
static inline int pages_check(const machine_t *machine, const char *path)
{
    pages_t pages = {.machine = machine};
    int error = machine->open(machine->context, path, FILE_READ, &pages.file);
    if (error != 0) return error;
    page_root_t root;
    uint64_t bytes = 0;
    error = pages_newest_root(&pages, &root);
    /* The size after the root: a file that is written meanwhile only becomes longer. */
    if (error == 0) error = machine->size(machine->context, pages.file, &bytes);
    if (error == 0) {
        pages.page_bytes = root.trees[0].page_bytes;
        pages.page_count = bytes / pages.page_bytes;
        pages.looks_left = pages.page_count;
        bool is_short = root.last_page >= pages.page_count;
        if (is_short) error = pages_walk(&pages, root.trees[0].root, 0);
        if (is_short && error == 0) error = pages_walk(&pages, root.trees[1].root, 0);
    }
    machine->close(machine->context, pages.file);
    return error;
}

#endif
