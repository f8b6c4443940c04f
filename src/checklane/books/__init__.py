"""The books: what finance reads from the journal, as pure functions over its entries.

One walk goes through the entries in the order of their positions (`walk`), and each book keeps the
sums that it needs of them and nothing else, so that memory follows what a report has rows for and
never the length of the journal. Figures come from the answers that the lanes were given, which
stand in the entries: no program and no catalogue is asked, so that a report of last year reads the
same however often offers have changed since. Each book is added up a second time from other parts
of the same entries, lines as they were kept for returns and movements of the accounts (`Proof`).
"""

from checklane.books.walk import LiveJournal, Page, Source, StoredJournal, find_first, walk

__all__ = ["LiveJournal", "Page", "Source", "StoredJournal", "find_first", "walk"]
