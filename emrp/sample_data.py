"""The input of the example pipelines, made up: the same for the same seed."""

import csv
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import TypeVar

_ABROAD = 0.03  # share of people who live in another country than their company

Choice = TypeVar("Choice")

COLUMNS = (
    "work_year",
    "experience_level",
    "employment_type",
    "job_title",
    "salary",
    "salary_currency",
    "salary_in_usd",
    "employee_residence",
    "remote_ratio",
    "company_location",
    "company_size",
)
# title: usual yearly pay in USD, and how common the title is
_TITLES = {
    "AI Scientist": (135_000, 4),
    "Analytics Engineer": (150_000, 20),
    "Applied Machine Learning Scientist": (112_000, 3),
    "Applied Scientist": (185_000, 12),
    "BI Analyst": (95_000, 3),
    "BI Data Analyst": (70_000, 4),
    "Big Data Engineer": (58_000, 3),
    "Business Data Analyst": (68_000, 4),
    "Computer Vision Engineer": (140_000, 5),
    "Data Analyst": (108_000, 150),
    "Data Analytics Manager": (142_000, 6),
    "Data Architect": (160_000, 25),
    "Data Engineer": (145_000, 250),
    "Data Manager": (115_000, 8),
    "Data Operations Engineer": (95_000, 3),
    "Data Quality Analyst": (85_000, 4),
    "Data Science Consultant": (92_000, 6),
    "Data Science Lead": (165_000, 3),
    "Data Science Manager": (190_000, 14),
    "Data Scientist": (142_000, 210),
    "Data Specialist": (90_000, 4),
    "Director of Data Science": (195_000, 3),
    "ETL Developer": (120_000, 3),
    "Head of Data": (182_000, 3),
    "Lead Data Engineer": (140_000, 2),
    "MLOps Engineer": (128_000, 4),
    "Machine Learning Engineer": (152_000, 75),
    "Machine Learning Researcher": (118_000, 3),
    "Machine Learning Scientist": (165_000, 8),
    "NLP Engineer": (125_000, 3),
    "Principal Data Scientist": (200_000, 3),
    "Product Data Analyst": (58_000, 2),
    "Research Engineer": (163_000, 10),
    "Research Scientist": (162_000, 20),
    "Staff Data Scientist": (105_000, 1),
}
# level: factor on the pay, and how common
_LEVELS = {"EN": (0.6, 9), "MI": (0.8, 22), "SE": (1.1, 66), "EX": (1.4, 3)}
_EMPLOYMENT_TYPES = {"FT": 980, "PT": 6, "CT": 8, "FL": 6}
_SIZES = {"S": 5, "M": 82, "L": 13}
# country: currency, units of it for a dollar, factor on the pay, and how common
_COUNTRIES = {
    "US": ("USD", 1.0, 1.0, 800),
    "GB": ("GBP", 0.81, 0.65, 46),
    "CA": ("CAD", 1.35, 0.85, 24),
    "ES": ("EUR", 0.93, 0.45, 22),
    "IN": ("INR", 82.0, 0.25, 20),
    "DE": ("EUR", 0.93, 0.65, 15),
    "FR": ("EUR", 0.93, 0.5, 10),
    "BR": ("BRL", 5.1, 0.35, 5),
    "IE": ("EUR", 0.93, 0.7, 4),
}
_REMOTE_RATIOS = {0: 51, 50: 5, 100: 44}
_YEARS = {2020: 2, 2021: 6, 2022: 44, 2023: 48}

SENSOR_COLUMNS = ("device", "recorded_at", "temperature", "vibration", "pressure")
# what a machine is doing: what its sensors read then, with how much they vary, and how common
_MACHINE_STATES = {
    "idle": (((22.0, 1.5), (0.4, 0.1), (1.0, 0.1)), 400),
    "working": (((61.0, 3.0), (4.5, 0.5), (6.2, 0.4)), 445),
    "at the limit": (((88.0, 2.5), (9.0, 0.7), (9.5, 0.4)), 150),
    "about to break": (((120.0, 3.0), (1.0, 0.3), (18.0, 1.0)), 5),
}
_UNUSABLE = {"": 3, "n/a": 2, "-999.0": 1}  # what broken sensors send, and how common

_WORDS = (
    "the and to of a in that it was he for as with I his on be at you had but so not she all from this there what "
    "don't Éire naïve señor Straße река 北京 2026 river data Spark lake morning light stone house under between"
)


def write_salaries(path: Path, rows: int = 3000, seed: int = 2023) -> None:
    """Write a CSV file with a header."""
    random = Random(seed)  # noqa: S311 -- repeatable on purpose
    titles = {title: common for title, (_, common) in _TITLES.items()}
    levels = {level: common for level, (_, common) in _LEVELS.items()}
    countries = {country: common for country, (*_, common) in _COUNTRIES.items()}
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for _ in range(rows):
            title, level, country = _pick(random, titles), _pick(random, levels), _pick(random, countries)
            currency, rate, cost, _ = _COUNTRIES[country]
            usual = _TITLES[title][0] * _LEVELS[level][0] * cost
            salary = round(random.lognormvariate(0, 0.3) * usual * rate, -2)
            abroad = random.random() < _ABROAD
            table.writerow(
                (
                    _pick(random, _YEARS),
                    level,
                    _pick(random, _EMPLOYMENT_TYPES),
                    title,
                    int(salary),
                    currency,
                    int(salary / rate),
                    _pick(random, countries) if abroad else country,
                    _pick(random, _REMOTE_RATIOS),
                    country,
                    _pick(random, _SIZES),
                )
            )


def write_sensor_readings(path: Path, rows: int = 2000, seed: int = 2020, unusable: float = 0.02) -> None:
    """Write a CSV file with a header: a reading a minute of five machines in turn, a share of them unusable."""
    random = Random(seed)  # noqa: S311 -- repeatable on purpose
    states = {state: common for state, (_, common) in _MACHINE_STATES.items()}
    begin = datetime.fromisoformat("2026-02-14T00:00:00+00:00")
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(SENSOR_COLUMNS)
        for row in range(rows):
            measured, _ = _MACHINE_STATES[_pick(random, states)]
            values = [f"{max(0.0, random.gauss(mean, deviation)):.2f}" for mean, deviation in measured]
            if random.random() < unusable:
                values[random.randrange(len(values))] = _pick(random, _UNUSABLE)
            table.writerow((f"machine-{row % 5 + 1}", (begin + timedelta(minutes=row)).isoformat(), *values))


def write_text(path: Path, lines: int = 500, seed: int = 1913) -> None:
    """Write a text in several alphabets, with punctuation and empty lines; early words are more common."""
    random = Random(seed)  # noqa: S311 -- repeatable on purpose
    words = {word: 100 // position + 1 for position, word in enumerate(_WORDS.split(), start=1)}
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for _ in range(lines):
            line = [_pick(random, words) for _ in range(random.randrange(12))]
            file.write(_pick(random, {" ": 8, ", ": 1, " - ": 1}).join(line) + random.choice(["", ".", "?!"]) + "\n")


def _pick(random: Random, choices: dict[Choice, int]) -> Choice:
    return random.choices(list(choices), weights=list(choices.values()))[0]
