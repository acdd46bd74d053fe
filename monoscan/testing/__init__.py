"""Checks of operators and strategies: laws, rounding bounds, homomorphisms, the order witness.

Needs Hypothesis (the extra ``test``); nothing else in the library imports it.
"""

from monoscan.testing.command import run_laws as run_laws
from monoscan.testing.laws.check import LawCase as LawCase
from monoscan.testing.laws.check import check_laws as check_laws
from monoscan.testing.laws.check import law_cases as law_cases
from monoscan.testing.laws.morphism import check_homomorphism as check_homomorphism
from monoscan.testing.laws.report import LawError as LawError
from monoscan.testing.laws.report import Report as Report
from monoscan.testing.laws.scans import SCAN_LAWS as SCAN_LAWS
from monoscan.testing.laws.scans import check_scan_laws as check_scan_laws
from monoscan.testing.search.elements import Kind as Kind
from monoscan.testing.search.elements import elements as elements
from monoscan.testing.search.elements import embedded as embedded
from monoscan.testing.witness import Intervals as Intervals
from monoscan.testing.witness import OrderError as OrderError
from monoscan.testing.witness import check_order as check_order
from monoscan.testing.witness import check_orders as check_orders
