"""Real Docker Engines, several on one machine, for the tests beside this package.

What is here: namespaces and clean-up (`guard`, `session`), the engines' programs (`fetch`) and image (`image`),
one engine (`engine`), Docker's clients (`cli`), swarmd itself (`swarmd`), a whole cluster (`cluster`), and what
the tests share (`case`, `report`). Standard library only.

What is not here: anything that a test asserts.
"""
