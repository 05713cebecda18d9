"""The sample input of the `salaries` pipeline, made up: the same rows for the same seed."""

import csv
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


def _pick(random: Random, choices: dict[Choice, int]) -> Choice:
    return random.choices(list(choices), weights=list(choices.values()))[0]
