"""Every kind of mistake is found at its line and column, with a remedy.

In the tables below the sign ¦ stands where the problem must be reported and is taken out before the
file is written.
"""

import pytest

from checklane.program import Severity, check_path
from tests.program.samples import OFFER, PROGRAM, gtin, small_catalogue, write_program


def split(text):
    """Return the text without its mark, and the mark's line and column."""
    before, found, after = text.partition("¦")
    assert found
    assert "¦" not in after
    return before + after, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def told(report, file, line, column):
    return [p for p in report.problems if (p.file, p.line, p.column) == (file, line, column)]


D = "discount: {of: all, percent: 10}"
OFFERS = {
    "benefit tender": ("- id: a\n  tender: {with: {kinds: [cash, ¦benefit_food]}, percent: 5}\n",
                       "benefit tender 'benefit_food'", "waiver: TEXT"),
    "no tender": ("- id: a\n  tender: {with: ¦{}, percent: 5}\n", "no means", "'kinds'"),
    "unknown key": (f"- id: a\n  ¦stackabel: true\n  {D}\n", "unknown key", "'stackable'"),
    "unknown key deep": ("- id: a\n  discount: {of: {¦catgory: X}, percent: 1}\n", "unknown key",
                         "'category'"),
    "missing id": (f"- ¦{D}\n", "'id' is missing", "Stable name"),
    "missing selector": ("- id: a\n  discount: ¦{percent: 10}\n", "'of' is missing", "Which"),
    "no mechanic": ("- ¦id: a\n", "says nothing", "'discount'"),
    "two mechanics": (f"- id: a\n  {D}\n  ¦earn: {{purse: points, points: 1, per: 1}}\n",
                      "discount and earn", "keep one"),
    "no reward": ("- id: a\n  discount: ¦{of: all}\n", "says nothing", "'percent'"),
    "two rewards": ("- id: a\n  discount: {of: all, percent: 1, ¦price: 2.00}\n",
                    "percent and price", "keep one"),
    "third decimal": ("- id: a\n  discount: {of: all, amount: ¦1.005}\n", "more than 2 decimals",
                      "5.00"),
    "third decimal zero": ("- id: a\n  discount: {of: all, amount: ¦1.500}\n",
                           "more than 2 decimals", "5.00"),
    "not money": ("- id: a\n  discount: {of: all, amount: ¦5 dollars}\n", "not an amount", "5.00"),
    "negative money": ("- id: a\n  discount: {of: all, amount: ¦-1}\n", "out of range", "from 0"),
    "exponent": ("- id: a\n  discount: {of: all, amount: ¦1e2}\n", "not an amount", "5.00"),
    "percent": ("- id: a\n  discount: {of: all, percent: ¦101}\n", "out of range", "0 to 100"),
    "percent decimals": ("- id: a\n  discount: {of: all, percent: ¦1.125}\n", "2 decimals", "12.5"),
    "factor": ("- id: a\n  multiply: {purse: points, by: ¦0.5}\n", "out of range", "1 to 100"),
    "not an id": (f"- id: ¦a b\n  {D}\n", "not an id", "letters"),
    "not a whole number": (f"- id: a\n  priority: ¦1.5\n  {D}\n", "not a whole number", "digits"),
    "not a boolean": (f"- id: a\n  stackable: ¦maybe\n  {D}\n", "not true or false", "true"),
    "not a mapping": (f"- id: a\n  limits: ¦3\n  {D}\n", "not a mapping", "key: value"),
    "unknown word": (f"- id: a\n  rounding: ¦flor\n  {D}\n", "not known", "'floor'"),
    "unknown weekday": (f"- id: a\n  when: {{weekdays: [monday, ¦tusday]}}\n  {D}\n", "not known",
                        "'tuesday'"),
    "limit of 0": (f"- id: a\n  limits: {{per_basket: {{units: ¦0}}}}\n  {D}\n", "does not fit",
                   "at least 1"),
    "spend on points": ("- id: a\n  limits: {per_member: {spend: ¦5.00}}\n"
                        "  earn: {purse: points, points: 1, per: 1.00}\n",
                        "not limited by what units cost", "uses or money"),
    "issued without serials": (
        f"- id: a\n  coupon: {{codes: A, ¦issued: true}}\n  {D}\n", "have serials",
        "serial: true"),
    "issues for nobody": (
        "- id: a\n  issue: {coupon: ¦b, valid_days: 7}\n", "unknown offer 'b'", "known"),
    "issues what opens nothing": (
        f"- id: a\n  issue: {{coupon: ¦b, valid_days: 7}}\n- id: b\n  {D}\n",
        "takes no coupons that a sale issues", "issued: true"),
    "issues without an end": (
        "- id: a\n  issue: ¦{coupon: a}\n", "'valid_days' is missing", "good"),
    "issues by two measures": (
        "- id: a\n  issue: ¦{coupon: a, valid_days: 7, count: 2, once_a_visit: true}\n",
        "for units and for a visit", "keep 'count'"),
    "referral into an unknown purse": (
        "- id: a\n  referral: {purse: ¦pints, points: 5}\n", "unknown purse 'pints'", "'points'"),
    "fuel without a floor": ("- id: a\n  fuel: ¦{amount: 0.1, unit: gallon}\n",
                             "no floor", "floor: 0.999"),
    "fuel for a purse": (
        "- id: a\n  fuel: ¦{amount: 0.1, unit: litre, floor: 0.9, purse: points}\n",
        "go together", "both"),
    "fuel by a tenth of a thousandth": (
        "- id: a\n  fuel: {amount: ¦0.123456, unit: litre, floor: 0.9}\n", "5 decimals", "0.999"),
    "fuel from the initial price": (
        "- id: a\n  base: ¦initial\n  fuel: {amount: 0.1, unit: litre, floor: 0.9}\n",
        "by measure", "remove"),
    "fuel with another floor": (
        "- id: a\n  floor_price: ¦1.00\n  fuel: {amount: 0.1, unit: litre, floor: 0.9}\n",
        "by measure", "fuel.floor"),
    "two measures": (f"- id: a\n  limits: {{per_member: [{{uses: 1, ¦money: 2}}]}}\n  {D}\n",
                     "uses and money", "keep one"),
    "date": (f"- id: a\n  when: {{from: ¦2026-02-30}}\n  {D}\n", "calendar", "day"),
    "date form": (f"- id: a\n  when: {{until: ¦31.12.2026}}\n  {D}\n", "not a date", "2026-12-31"),
    "clock": (f"- id: a\n  when: {{hours: [{{from: '08:00', until: ¦'25:00'}}]}}\n  {D}\n",
              "clock", "24:00"),
    "too many hours": ("- id: a\n  when:\n    hours: ¦[" + ", ".join(
        ["{from: '08:00', until: '09:00'}"] * 5) + f"]\n  {D}\n", "does not fit", "at most 4"),
    "locale": (f"- id: a\n  name: ¦{{english: x}}\n  {D}\n", "not a locale", "fr-CA"),
    "empty selector": ("- id: a\n  discount: {of: ¦{}, percent: 1}\n", "empty", "write all"),
    "word selector": ("- id: a\n  discount: {of: ¦SOUP, percent: 1}\n", "not a selector",
                      "category: SOUP"),
    "inner price range": (
        "- id: a\n  discount: {of: {not: {¦unit_price: {until: 1}}}, percent: 1}\n",
        "stands inside", "top"),
    "inner line": ("- id: a\n  discount: {of: {any: [{¦line: charge}]}, percent: 1}\n",
                   "stands inside", "top"),
    "line of goods": ("- id: a\n  discount: {of: {line: ¦sale}, percent: 1}\n", "not known",
                      "'fee'"),
    "upside down range": (
        "- id: a\n  discount: {of: {unit_price: {¦from: 2, until: 1}}, percent: 1}\n", "above",
        "swap"),
    "check digit": (f"- id: a\n  discount: {{of: {{items: [{gtin(1)}, ¦{gtin(2)[:-1]}0]}},"
                    " percent: 1}\n", "check digit", gtin(2)),
    "not a code": ("- id: a\n  discount: {of: {items: ¦soup}, percent: 1}\n", "not a product code",
                   "sku:CODE"),
    "group": ("- id: a\n  group_price: ¦{count: 2, price: 1}\n", "not complete", "'slots'"),
    "group twice": ("- id: a\n  group_price: {count: 2, of: all, ¦slots: [{of: all}], price: 1}\n",
                    "twice", "keep"),
    "get nothing": ("- id: a\n  buy_get: {buy: {count: 1, of: all},"
                    " get: ¦{count: 1, percent: 5}}\n",
                    "which products", "same: true"),
    "same id": (f"{OFFER}- id: ¦a\n  group_price: {{count: 2, of: all, price: 1}}\n",
                "taken, in offers/offers.yaml:1", "its own"),
    "same coupon": (f"- id: a\n  coupon: {{codes: X1}}\n  {D}\n- id: b\n"
                    f"  coupon: {{codes: [Y, ¦X1]}}\n  {D}\n", "opens offer 'a'", "its own"),
    "purse": ("- id: a\n  earn: {purse: ¦pionts, points: 1, per: 1}\n", "unknown purse",
              "'points'"),
    "points decimals": ("- id: a\n  earn: {purse: cash, points: ¦0.005, per: 1}\n",
                        "more than 2 decimals", "0.5"),
    "points for nothing": ("- id: a\n  earn: {purse: points, points: 1, per: ¦0}\n", "each 0",
                           "1.00"),
    "tier": (f"- id: a\n  who: {{tiers: [gold, ¦glod]}}\n  {D}\n", "unknown tier", "'gold'"),
    "segment": (f"- id: a\n  who: {{segments: {{none: ¦family}}}}\n  {D}\n", "unknown segment",
                "'families'"),
    "channel": (f"- id: a\n  where: {{channels: [¦shop]}}\n  {D}\n", "unknown channel", "known:"),
    "funding": (f"- id: a\n  funding: ¦[{{funder: x, percent: 90}}]\n  {D}\n", "90 percent", "100"),
    "layer": (f"- id: a\n  layer: ¦earn\n  {D}\n", "no place", "item or basket"),
    "units on a group": (
        "- id: a\n  limits: {per_basket: {units: ¦1}}\n"
        "  group_price: {count: 2, of: all, price: 1}\n",
        "not limited by units", "times"),
    "times on a discount": (f"- id: a\n  limits: {{per_basket: {{times: ¦1}}}}\n  {D}\n",
                            "not limited by times", "units"),
    "non-members": (f"- id: a\n  who: {{¦members: non_members, tiers: gold}}\n  {D}\n",
                    "non-members cannot", "remove"),
    "non-member wallet": (f"- id: a\n  wallet: true\n  who: {{members: ¦non_members}}\n  {D}\n",
                          "only members", "remove"),
    "stack after nobody": (f"- id: a\n  stack_after: [¦bb]\n  {D}\n", "unknown offer 'bb'", "'a'"),
    "stack after itself": (f"- id: a\n  stack_after: ¦a\n  {D}\n", "after 'a' already", "first"),
    "stack after and stackable": (
        f"{OFFER}- id: b\n  stackable: true\n  stack_after: ¦[a]\n  {D}\n", "sees every unit",
        "remove"),
    "stack after a stackable one": (
        f"- id: a\n  stackable: true\n  {D}\n- id: b\n  stack_after: [¦a]\n  {D}\n",
        "takes no units", "remove"),
    "stack after another layer": (
        f"- id: a\n  layer: basket\n  {D}\n- id: b\n  stack_after: [¦a]\n  {D}\n",
        "basket layer", "same layer"),
    "stack after a later class": (
        f"- id: a\n  class: 2\n  {D}\n- id: b\n  stack_after: [¦a]\n  {D}\n",
        "which runs later", "class: 2"),
    "stack after in earn": (
        f"{OFFER}- id: b\n  stack_after: ¦[b]\n  earn: {{purse: points, points: 1, per: 1}}\n",
        "no place in this layer", "remove"),
    "no product limit": (f"- id: a\n  limits: {{per_product: ¦{{}}}}\n  {D}\n", "says nothing",
                         "'money'"),
    "product limit of 0": (f"- id: a\n  limits: {{per_product: {{¦money: 0}}}}\n  {D}\n",
                           "nothing could", "above 0"),
    "product limit and reshare": (
        f"- id: a\n  reshare: ¦true\n  limits: {{per_product: {{money: 1}}}}\n  {D}\n",
        "off the others", "keep"),
    "missing file": ("- id: a\n  row_prices: {file: ¦row.csv}\n", "missing", "rows.csv"),
    "outside file": ("- id: a\n  row_prices: {file: ¦../../x.csv}\n", "outside", "beside"),
    "duplicate key": (f"- id: a\n  {D}\n  ¦id: b\n", "twice", "keep one"),
    "tag": (f"- id: ¦!!python/name:os.system a\n  {D}\n", "tag", "remove"),
    "not YAML": ("- id: a\n  discount: {of: all\n  x¦: 1\n", "not YAML", "colons"),
    "not a list": ("¦id: a\n", "not a list of offers", "- id"),
    "empty file": ("¦\n", "empty", "remove"),
    "unknown alias": ("- id: ¦*nobody\n", "unknown alias", "&nobody"),
    "second document": (f"{OFFER}¦---\n", "second document", "one to a file"),
}  # fmt: skip
CATALOGUE = {
    "category": ("- id: a\n  discount: {of: {category: ¦FOOD/SUOP}, percent: 1}\n",
                 "unknown category", "'FOOD/SOUP'"),
    "category end": ("- id: a\n  discount: {of: {category: [FRESH, ¦PASTA]}, percent: 1}\n",
                     "unknown category", "'FOOD/PASTA'"),
    "brand": ("- id: a\n  discount: {of: {any: [{brand: ¦Habor}]}, percent: 1}\n",
              "unknown brand", "'Harbor'"),
    "department": ("- id: a\n  discount: {of: {department: ¦Grocer}, percent: 1}\n",
                   "unknown department", "'Grocery'"),
    "store": (f"- id: a\n  where: {{stores: ¦S9}}\n  {D}\n", "unknown store", "'S1'"),
    "region": (f"- id: a\n  where: {{except_regions: [¦west]}}\n  {D}\n", "region 'west'", "feed"),
}  # fmt: skip
PROGRAMS = {
    "excluded by price": (PROGRAM + "exclusions:\n- of: {¦unit_price: {from: 1}}\n  from: earn\n",
                          "about products", "remove"),
    "excluded lines": (PROGRAM + "exclusions:\n- of: {¦line: charge}\n  from: earn\n",
                       "about products", "remove"),
    "excluded by file": (PROGRAM + "exclusions:\n- of: {¦items_file: x.csv}\n  from: earn\n",
                         "about products", "write items"),
    "excluded from what": (PROGRAM + "exclusions:\n- of: {flags: tobacco}\n  from: ¦sale\n",
                           "not known", "'burn'"),
    "excluded unless what": (PROGRAM + "exclusions:\n- of: {flags: tobacco}\n  from: earn\n"
                             "  unless: ¦asked\n", "not known", "'age_verified'"),
    "unknown key": (PROGRAM + "¦segmens: {}\n", "unknown key", "'segments'"),
    "same purse number": (PROGRAM.replace("number: 2", "number: ¦1"), "belongs to 'points'",
                          "free number, such as 2"),
    "purse number": (PROGRAM.replace("points: {number: 1}", "points: {number: ¦17}"), "not fit",
                     "at most 16"),
    "segment number": (PROGRAM.replace("number: 0", "number: ¦128"), "not fit", "less than 128"),
    "currency": (PROGRAM.replace("USD", "¦usd"), "'code'", "form"),
    "semantics": (PROGRAM + "semantics: ¦2\n", "semantics 2", "write 1"),
    "no currency": ("¦program: test\n", "'currency' is missing", "money"),
    "tier goal": (PROGRAM.replace("gold: {number: 1}",
                                  "gold: {number: 1, reached_by: {progress: ¦visits, goal: 5}}"),
                  "unknown progress", "declare"),
    "progress reward": (PROGRAM + "progress:\n  p: {measure: visits, goal: 3, reward: ¦aa}\n",
                        "unknown offer", "'a'"),
    "progress file": (PROGRAM + "progress:\n  p: {measure: units, of: {items_file: ¦a.csv}}\n",
                      "no files", "write items"),
    "progress months": (PROGRAM + "progress:\n  p: ¦{measure: spend, window: rolling}\n",
                        "months", "window: rolling and months"),
    "progress goal": (PROGRAM + "progress:\n  p: {measure: units, window: rolling, months: 2, "
                      "¦goal: 5}\n", "no goal", "tier"),
    "progress purse": (PROGRAM + "progress:\n  p: ¦{measure: points}\n", "purse", "give both"),
    "two expiries": (PROGRAM.replace("points: {number: 1}",
                                     "points: {number: 1, expires: {days: 3, ¦on: 2027-01-01}}"),
                     "days and on", "keep one"),
    "basket discount": (PROGRAM + "policies: {basket_discount: ¦{}}\n", "says nothing",
                        "'percent'"),
    "basket discount of 0": (PROGRAM + "policies: {basket_discount: {¦money: 0}}\n",
                             "no offer could", "write more"),
    "without receipt up to 0": (PROGRAM + "policies: {returns_without_receipt: {¦most: 0}}\n",
                                "nothing could come back", "allowed: false"),
    "issuer": (PROGRAM + "issuer_ranges: [{prefix: ¦'60291', length: 4}]\n", "longer", "length"),
}  # fmt: skip


@pytest.mark.parametrize("name", OFFERS)
def test_offer_problems(name, tmp_path):
    text, what, mend = OFFERS[name]
    text, line, column = split(text)
    report = check_path(write_program(tmp_path, text, rows_csv="item,price\n"))
    (problem,) = told(report, "offers/offers.yaml", line, column)
    assert what in problem.what
    assert mend in problem.mend
    assert problem.severity is Severity.ERROR
    assert not report.is_good
    assert str(problem).startswith(f"offers/offers.yaml:{line}:{column}: ")


@pytest.mark.parametrize("name", CATALOGUE)
def test_problems_against_a_catalogue(name, tmp_path):
    text, what, mend = CATALOGUE[name]
    text, line, column = split(text)
    path = write_program(tmp_path, text)
    (problem,) = check_path(path, small_catalogue()).problems
    assert (problem.file, problem.line, problem.column) == ("offers/offers.yaml", line, column)
    assert what in problem.what
    assert mend in problem.mend
    assert check_path(path).is_good


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_problems(name, tmp_path):
    text, what, mend = PROGRAMS[name]
    text, line, column = split(text)
    report = check_path(write_program(tmp_path, program=text))
    (problem,) = told(report, "program.yaml", line, column)
    assert what in problem.what
    assert mend in problem.mend
    assert not report.is_good


def test_exclusions_name_jurisdictions_of_the_catalogue(tmp_path):
    text, line, column = split(
        PROGRAM + "exclusions:\n- of: {flags: tobacco}\n  from: earn\n  jurisdictions: ¦NY\n"
    )
    path = write_program(tmp_path, program=text)
    (problem,) = told(check_path(path, small_catalogue()), "program.yaml", line, column)
    assert "unknown jurisdiction 'NY'" in problem.what
    assert check_path(path).is_good


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (f"item,price\n{gtin(1)},¦1.005\n", "more than 2 decimals"),
        (f"item,price\n{gtin(1)},¦\n", "not a price"),
        (f"item,price\n¦{gtin(1)[:-1]}x,1.00\n", "not a product code"),
        (f"item,price,limit\n{gtin(1)},1.00,¦0\n", "limit of 0"),
        (f"item,price\n{gtin(1)},1.00\n¦0{gtin(1)},2.00\n", "in line 2"),
        (f"item,¦prise\n{gtin(1)},1.00\n", "unknown column"),
        ("¦item\n", "'price' is missing"),
        ("item,price,¦price\n", "twice"),
        (f"item,price\n¦{gtin(1)}\n", "1 values under 2"),
        ("¦\n", "empty"),
    ],
)
def test_row_problems(rows, what, tmp_path):
    rows, line, column = split(rows)
    offers = "- id: a\n  row_prices: {file: rows.csv}\n"
    report = check_path(write_program(tmp_path, offers, rows_csv=rows))
    (problem,) = told(report, "offers/rows.csv", line, column)
    assert what in problem.what


def test_a_price_below_the_legal_minimum_is_refused(tmp_path):
    catalogue = small_catalogue()
    catalogue.products["legal_min_minor"][1] = 150
    rows = f"item,price\n{gtin(1)},1.00\n{gtin(2)},1.49\n"
    path = write_program(tmp_path, "- id: a\n  row_prices: {file: rows.csv}\n", rows_csv=rows)
    report = check_path(path, catalogue)
    (problem,) = told(report, "offers/rows.csv", 3, 1)
    assert "below its legal minimum" in problem.what
    assert problem.mend == "write at least 1.50"
    assert not report.is_good
    catalogue.products["legal_min_minor"][1] = 149
    assert check_path(path, catalogue).is_good


def test_a_window_with_one_day_left_is_no_problem(tmp_path):
    when = "{from: 2026-03-02, until: 2026-03-06, weekdays: [friday], blackout: 2026-03-02}"
    path = write_program(tmp_path, f"- id: a\n  when: {when}\n  {D}\n")
    assert check_path(path).problems == []


def test_merge_keys_are_refused(tmp_path):
    text = f"- id: a\n  <<: {{priority: 1}}\n  {D}\n"
    report = check_path(write_program(tmp_path, text))
    found = told(report, "offers/offers.yaml", 2, 3)
    assert any("merge keys" in problem.what for problem in found)


def test_all_problems_are_told_not_the_first(tmp_path):
    offers = (
        "- id: a\n  discount: {of: all, percent: 200}\n  clas: 1\n"
        "- id: b\n  earn: {purse: coins, points: 1, per: 1}\n"
    )
    program = PROGRAM + "colour: red\n"
    report = check_path(write_program(tmp_path, offers, program))
    assert {(p.file, p.line) for p in report.problems} >= {
        ("offers/offers.yaml", 2),
        ("offers/offers.yaml", 3),
        ("program.yaml", 10),
    }


WARNINGS = {
    "ended before": (f"- id: a\n  when: {{from: 2026-02-01, until: ¦2026-01-31}}\n  {D}\n",
                     "never apply"),
    "no product": ("- id: a\n  discount: ¦{of: {all: [{brand: Corner}, {category: FRESH}]},"
                   " percent: 1}\n", "never apply"),
    "unknown item": (f"- id: a\n  discount: {{of: {{items: [4011, ¦{gtin(10)}]}}, percent: 1}}\n",
                     "not in the catalogue"),
    "shadowed": (f"- id: b\n  discount: {{of: all, percent: 20}}\n- id: ¦a\n  {D}\n", "'b'"),
    "no day": ("- id: a\n  when: {from: 2026-03-02, until: 2026-03-04, weekdays: ¦[friday, monday],"
               f" blackout: 2026-03-02}}\n  {D}\n", "no day of its window"),
    "asked for and left out": (f"- id: a\n  who: {{segments: {{all: families, none: ¦[families]}}}}"
                               f"\n  {D}\n", "asked for and left out"),
    "limit of no money": (f"- id: a\n  limits: {{per_basket: {{money: ¦0}}}}\n  {D}\n",
                          "leaves no money"),
    "window of no money": (f"- id: a\n  limits: {{per_store: {{money: ¦0}}}}\n  {D}\n",
                           "leaves no money"),
    "no points": ("- id: a\n  bonus: {purse: points, points: ¦0}\n", "0 points"),
}  # fmt: skip


@pytest.mark.parametrize("name", WARNINGS)
def test_warnings(name, tmp_path):
    text, what = WARNINGS[name]
    text, line, column = split(text)
    report = check_path(write_program(tmp_path, text), small_catalogue())
    (problem,) = report.problems
    assert (problem.line, problem.column) == (line, column)
    assert problem.severity is Severity.WARNING
    assert what in problem.what
    assert report.is_good


def test_an_unknown_item_names_its_sister(tmp_path):
    offers = f"- id: a\n  discount: {{of: {{items: ['{gtin(11)}']}}, percent: 1}}\n"
    problems = check_path(write_program(tmp_path, offers), small_catalogue()).problems
    mends = {problem.what: problem.mend for problem in problems}
    found = mends[f"the item '{gtin(11)}' is not in the catalogue"]
    assert found == f"did you mean {gtin(1)}?"


def test_two_offers_that_differ_in_terms_do_not_shadow(tmp_path):
    offers = (
        "- id: a\n  when: {weekdays: monday}\n  discount: {of: all, percent: 10}\n"
        "- id: b\n  discount: {of: all, percent: 20}\n"
    )
    assert check_path(write_program(tmp_path, offers)).problems == []


def test_a_missing_program_file_and_folder(tmp_path):
    report = check_path(tmp_path)
    assert [problem.file for problem in report.problems] == ["offers", "program.yaml"]


def test_a_file_of_another_ending_is_told(tmp_path):
    path = write_program(tmp_path)
    (path / "offers" / "more.yml").write_text(OFFER)
    (problem,) = check_path(path).problems
    assert problem.mend == "name it more.yaml"


def test_bytes_that_are_not_text(tmp_path):
    path = write_program(tmp_path)
    (path / "offers" / "offers.yaml").write_bytes(b"- id: a\n  name: caf\xe9\n")
    (problem,) = check_path(path).problems
    assert (problem.line, problem.column) == (2, 12)
