"""Cuts a molecule into a hidden part and kept parts, and finds the hidden part in its SMILES string.

- scaffold: keeps the Bemis–Murcko scaffold, hides the only side chain, of at least 3 heavy atoms.
- linker: keeps two fragments, hides what links them. Bonds and sizes are those of DeLinker's data (Imrie et al. 2020,
  github.com/oxpig/DeLinker, data/frag_utils.py): single bonds outside of rings that match `CUT`, at least 3 heavy atoms in the
  linker and 2 on its shortest path, at least 5 in each fragment, and no more in the linker than in the smaller fragment.
"""

import dataclasses
import re

import fetch
from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

CUT = Chem.MolFromSmarts("[#6+0;!$(*=,#[!#6])]!@!=!#[*]")
SIDE_CHAIN, LINKER, PATH, FRAGMENT = 3, 3, 2, 5


@dataclasses.dataclass(frozen=True)
class Hole:
    """A SMILES string whose tokens `start..end` are hidden."""

    text: str
    tokens: tuple
    start: int
    end: int
    kept: str  # SMARTS of the kept atoms.

    def parts(self):
        """The text before, inside and after the hole."""
        return tuple("".join(self.tokens[a:b]) for a, b in ((0, self.start), (self.start, self.end), (self.end, None)))


def is_atom(token):
    return token[0] == "[" or token[0].isalpha()


def balanced(tokens):
    """Whether every branch and every ring of the tokens is opened and closed among them."""
    depth, rings = 0, set()
    for token in tokens:
        depth += (token == "(") - (token == ")")
        if depth < 0:
            return False
        if token.isdigit() or token[0] == "%":
            rings ^= {token}
    return depth == 0 and not rings


def span(tokens, hidden):
    """The range of the tokens of the hidden atoms, if it is one range and whole. Atoms are counted in the order of the string."""
    atoms = [index for index, token in enumerate(tokens) if is_atom(token)]
    first, last = min(hidden), max(hidden)
    if last - first + 1 != len(hidden):
        return None
    start, end = atoms[first], atoms[last] + 1
    while end < len(tokens) and (tokens[end].isdigit() or tokens[end][0] == "%"):
        end += 1  # The ring closures of the last atom.
    while end < len(tokens) and tokens[end] == ")" and not balanced(tokens[start:end]):
        end += 1
    return (start, end) if balanced(tokens[start:end]) else None


def components(mol, atoms, without=()):
    """The connected sets of the atoms, if the bonds in `without` are cut."""
    left, found = set(atoms), []
    while left:
        part, stack = set(), [left.pop()]
        while stack:
            atom = stack.pop()
            part.add(atom)
            for bond in mol.GetAtomWithIdx(atom).GetBonds():
                other = bond.GetOtherAtomIdx(atom)
                if other in left and bond.GetIdx() not in without:
                    left.discard(other)
                    stack.append(other)
        found.append(part)
    return found


def side_chains(mol):
    """The only side chain of the molecule's scaffold, as the one candidate. None if there are several, or if it is small."""
    scaffold = MurckoScaffold.GetScaffoldForMol(mol)
    core = set(mol.GetSubstructMatch(scaffold)) if scaffold.GetNumAtoms() else set()
    chains = components(mol, set(range(mol.GetNumAtoms())) - core) if core else []
    return chains if len(chains) == 1 and len(chains[0]) >= SIDE_CHAIN else []


def linkers(mol):
    """All linkers of the molecule."""
    atoms, found = range(mol.GetNumAtoms()), []
    bonds = sorted({mol.GetBondBetweenAtoms(*match).GetIdx() for match in mol.GetSubstructMatches(CUT)})
    for index, one in enumerate(bonds):
        for other in bonds[index + 1:]:
            ends = {bond: {mol.GetBondWithIdx(bond).GetBeginAtomIdx(), mol.GetBondWithIdx(bond).GetEndAtomIdx()} for bond in (one, other)}
            parts = components(mol, atoms, {one, other})
            middle = [part for part in parts if part & ends[one] and part & ends[other]]
            if len(parts) != 3 or len(middle) != 1:
                continue
            linker = middle[0]
            smaller = min(len(part) for part in parts if part is not linker)
            (first,), (last,) = linker & ends[one], linker & ends[other]
            path = 1 if first == last else len(Chem.GetShortestPath(mol, first, last))
            if LINKER <= len(linker) <= smaller and smaller >= FRAGMENT and path >= PATH:
                found.append(linker)
    return found


TASKS = {"scaffold": side_chains, "linker": linkers}


def holes(task, smiles, rewrite, draw):
    """A hole of the molecule for the task, or None. `draw` is a source of random numbers.

    The string itself is used if the hidden atoms are one range of it. With `rewrite`, a string that RDKit writes from another
    atom may replace it.
    """
    mol = Chem.MolFromSmiles(smiles)
    if mol is None or "[H]" in smiles:  # RDKit drops the atom of [H], so that the others would be miscounted.
        return None
    candidates = TASKS[task](mol)
    draw.shuffle(candidates)
    texts = [(smiles, list(range(mol.GetNumAtoms())))]
    if rewrite and candidates:
        for root in draw.sample(range(mol.GetNumAtoms()), mol.GetNumAtoms()):
            text = Chem.MolToSmiles(mol, rootedAtAtom=root)
            texts.append((text, [int(atom) for atom in mol.GetProp("_smilesAtomOutputOrder").strip("[],").split(",")]))
    for text, order in texts:
        tokens, place = tuple(re.findall(fetch.TOKEN, text)), {atom: index for index, atom in enumerate(order)}
        for hidden in candidates:
            if found := span(tokens, {place[atom] for atom in hidden}):
                kept = sorted(set(range(mol.GetNumAtoms())) - hidden)
                return Hole(text, tokens, *found, Chem.MolFragmentToSmarts(mol, kept))
    return None
