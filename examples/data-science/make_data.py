"""Writes customers.csv and machines.csv, the data of this example. Python 3 without packages; the seeds are fixed.

Both are invented, with a known structure: the README tells the recipe in words.
"""

import csv
import math
import pathlib
import random

HERE = pathlib.Path(__file__).parent


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def poisson(rng, rate):
    """Knuth's method: multiply uniforms until the product falls below e^-rate."""
    count, product, floor = 0, rng.random(), math.exp(-rate)
    while product > floor:
        count, product = count + 1, product * rng.random()
    return count


def customers(rng):
    for number in range(1, 601):
        engagement = rng.gauss(0, 1)  # not in the table: what it moves is
        age = round(min(85, max(18, rng.gauss(44, 14))))
        tenure = rng.randint(1, 72)
        contract = rng.choices(["monthly", "yearly", "two-year"], [4, 2 + tenure / 24, tenure / 24])[0]
        data_gb = round(math.exp(2.2 + 0.45 * engagement + rng.gauss(0, 0.35)), 1)
        calls = poisson(rng, 1.3 * math.exp(-0.4 * engagement))
        late = poisson(rng, 0.5)
        satisfaction = min(10, max(1, round(6.5 + 1.3 * engagement - 0.4 * calls + rng.gauss(0, 1))))
        spend = 14 + 1.3 * data_gb + {"monthly": 6, "yearly": 2, "two-year": 0}[contract] + 0.06 * tenure
        spend = round(max(5, spend + 1.5 * engagement + rng.gauss(0, 3.5)), 2)
        risk = -2.3 + {"monthly": 1.2, "yearly": 0, "two-year": -1.2}[contract]
        risk += -0.035 * (tenure - 36) + 0.55 * (calls - 1) - 0.5 * (satisfaction - 6) + 0.7 * late
        churned = "yes" if rng.random() < sigmoid(risk) else "no"
        row = [f"C{number:04}", age, tenure, contract, data_gb, calls, late, satisfaction, spend, churned]
        for column, share in {3: 0.01, 4: 0.03, 6: 0.015, 7: 0.04}.items():
            if rng.random() < share:
                row[column] = ""
        yield row


def machines(rng):
    for number in range(1, 361):
        hours = rng.randint(50, 9000)
        shift = rng.choice(["early", "late", "night"])
        maker = rng.choice(["Arco", "Borea", "Cima", "Dorso"])
        load = round(rng.uniform(0.3, 1.0), 2)
        wear = 20 + 0.012 * hours + 60 * load * load + {"Arco": 0, "Borea": 5, "Cima": 12, "Dorso": -4}[maker]
        wear += rng.gauss(0, 6)
        pressure = round(6 + rng.gauss(0, 0.5) - 0.008 * wear, 2)
        vibration = round(max(0.2, 0.5 + 0.018 * wear + rng.gauss(0, 0.35)), 2)
        temperature = round(38 + 25 * load + {"early": 0, "late": 2, "night": -3}[shift] + rng.gauss(0, 2), 1)
        bearing = math.exp(2.2 * (vibration - 3.0))
        seal = math.exp(3.0 * (4.9 - pressure))
        fault = rng.choices(["none", "bearing", "seal"], [1, bearing, seal])[0]
        row = [f"M-{number:03}", maker, shift, hours, load, temperature, pressure, vibration, round(wear, 1), fault]
        for column, share in {5: 0.05, 7: 0.02}.items():
            if rng.random() < share:
                row[column] = "NA"
        yield row


def write(name, header, rows):
    with open(HERE / name, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header.split())
        writer.writerows(rows)


write(
    "customers.csv",
    "customer_id age tenure_months contract data_gb support_calls late_payments satisfaction monthly_spend churned",
    customers(random.Random(20240101)),
)
write(
    "machines.csv",
    "machine_id maker shift hours load temperature_c pressure_bar vibration_mm_s wear_um fault",
    machines(random.Random(7)),
)
